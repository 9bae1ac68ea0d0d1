"""Searching the configuration: studies, trials as lanes of one program, and what came of them."""
