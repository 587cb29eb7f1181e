"""The learning rate within a cycle."""

from __future__ import annotations


def triangle(progress: float, low: float, high: float) -> float:
    """From `low` to `high` and back, linearly (Sup-tickets, after Garipov et al. 2018).

    Args:
      progress: in the cycle, in [0, 1]; step i of n (counted from 0) has progress i/n, as in the released code.
      low: at both ends.
      high: in the middle.
    """
    share = 1 - abs(1 - 2 * progress)
    return low + (high - low) * share
