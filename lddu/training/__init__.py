"""Training: optimiser, state, compiled programs, the loop, checkpoints."""
