"""Layer-wise rescaled initialisation (LRsI)."""
