"""Validation: a configuration trained on every fold, what it did on bars that it never saw, and whether that convinces."""
