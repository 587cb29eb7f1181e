"""Removes the channels that a fixed mask makes useless: a smaller dense model that computes the same."""
