"""Training: the optimizer, the run directory, checkpoints, callbacks, and the job that puts them together."""
