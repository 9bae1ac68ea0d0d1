"""Cappuccino: train trading agents for crypto spot markets in one JAX program, trade them without JAX."""

__version__ = "0.1.0"
