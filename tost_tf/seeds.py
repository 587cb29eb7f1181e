"""Seeds for the parts of a run, all derived from a single one."""

from __future__ import annotations

import zlib


def derive_seed(seed: int, name: str) -> int:
    """A seed in [0, 2**31) for the part `name` of a run, the same on every machine and Python version."""
    return zlib.crc32(f"{name}:{seed}".encode()) & 0x7FFFFFFF
