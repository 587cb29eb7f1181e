"""Ghosts: soft neurons and skip connections that are there while training starts and gone before it ends."""

from __future__ import annotations

NO_GHOST = "none"  # the kind of ghosts that are not there
