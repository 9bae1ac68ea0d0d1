"""The trader: the artifact against a broker, bar by bar, with a journal; no JAX."""
