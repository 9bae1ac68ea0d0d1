"""A trained policy as a folder: `export` writes it (JAX), `runtime` runs it (NumPy and ONNX Runtime only)."""
