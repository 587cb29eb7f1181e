"""Patterns of masks: one file for each, each in `registry.MASK_PATTERNS`."""
