"""How ghosts fade: functions from the progress p in [0, 1] of the ghost phase to the remaining fraction, 1 to 0.

α is this fraction; β goes from its start to its end while the fraction goes from 1 to 0.
"""

from __future__ import annotations

import math

STEEPNESS = 5.0


def linear(progress: float) -> float:
    """1 - p."""
    return 1 - progress


def delayed(progress: float) -> float:
    """1 for the first half, then linear.

    So EAST phases DyReLU out, from a quarter of the training to a half of it (arXiv 2411.13545 and its released code).
    """
    return min(1.0, 2 * (1 - progress))


def cosine(progress: float) -> float:
    """(1 + cos πp) / 2: slow at both ends."""
    return (1 + math.cos(math.pi * progress)) / 2


def exponential(progress: float) -> float:
    """(e^-5p - e^-5) / (1 - e^-5): fast at first, and 0 at the end like the others."""
    last = math.exp(-STEEPNESS)
    return (math.exp(-STEEPNESS * progress) - last) / (1 - last)


def constant(progress: float) -> float:
    """1 until the end: the ghosts are removed abruptly."""
    return 1.0 if progress < 1 else 0.0
