"""Training of sparse networks: optimizers, losses, initialisation, teachers, superposed tickets."""

from __future__ import annotations
