"""The jobs that put the parts together: finding a mask, training, and what comes after the last epoch."""
