"""Lottery tickets: masks found by training, pruning and rewinding."""
