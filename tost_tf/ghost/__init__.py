"""Ghosts: soft neurons and skip connections that exist in the first part of training and are then removed."""

from __future__ import annotations

NO_GHOST = "none"  # the kind that means no ghosts
