"""How a sparse network is trained: optimizer, losses, initialisation, teachers, superposed tickets."""

from __future__ import annotations
