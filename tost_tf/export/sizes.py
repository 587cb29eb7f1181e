"""How large an export is, and how small it could be."""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def bytes_of(path: Path) -> int:
    """The size in bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _files(path))


def gzip_bytes_of(path: Path) -> int:
    """The same, each file compressed by gzip."""
    return sum(len(gzip.compress(file.read_bytes(), mtime=0)) for file in _files(path))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file; of a folder, of the names and contents of its files in order."""
    digest = hashlib.sha256()
    for file in _files(path):
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def information_bound(kernels: Mapping[str, np.ndarray], other_weights: int) -> int:
    """The minimum size in bytes of any lossless code of a random mask and 32-bit weights.

    The sum over layers of the entropy of the mask, log2 of the number of masks with as many kept weights, and 32 bits
    for each kept weight; plus 32 bits for each weight that cannot be pruned.

    Args:
      kernels: prunable kernels, zero where pruned.
      other_weights: the number of other weights.
    """
    bits = 32.0 * other_weights
    for kernel in kernels.values():
        kept, size = int(np.count_nonzero(kernel)), kernel.size
        log_choices = math.lgamma(size + 1) - math.lgamma(kept + 1) - math.lgamma(size - kept + 1)
        bits += log_choices / math.log(2) + 32 * kept
    return math.ceil(bits / 8)


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
