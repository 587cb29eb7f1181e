"""The learning rate, by epoch and within a cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence


def step_drops(epoch: int, start: float, drop_epochs: Sequence[int], factor: float) -> float:
    """The rate in `epoch` (counted from 0): `start`, times `factor` for each drop epoch reached."""
    return start * factor ** sum(drop <= epoch for drop in drop_epochs)


def default_drops(epochs: int) -> tuple[int, ...]:
    """Drops at 1/2 and 3/4 of all epochs: the paper's 90 and 135 of 180."""
    return tuple(sorted({epochs // 2, epochs * 3 // 4} - {0}))


def cosine(progress: float) -> float:
    """The factor of the learning rate: from 1 down to 0 along a cosine (Loshchilov and Hutter 2017, SGDR)."""
    return (1 + math.cos(math.pi * progress)) / 2


def triangle(progress: float, low: float, high: float) -> float:
    """From `low` to `high` and back, linearly (Sup-tickets, after Garipov et al. 2018).

    Args:
      progress: within the cycle, in [0, 1]; step i of n (counted from 0) has progress i/n, as in the released code.
      low: at both ends.
      high: in the middle.
    """
    height = 1 - abs(1 - 2 * progress)
    return low + (high - low) * height
