"""Training: optimiser, state, jitted step, loop, checkpoints."""
