"""Training: the compiled chunk, the loop around it, checkpoints and logs."""
