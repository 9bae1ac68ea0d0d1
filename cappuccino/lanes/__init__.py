"""Trainings of any shape, side by side: a pool of lanes for each compiled program, and an engine that fills them."""
