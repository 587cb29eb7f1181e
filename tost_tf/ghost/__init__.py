"""Ghosts: soft neurons and skip connections that are there while training starts and gone before it ends."""
