"""How much an update changes, as a function of the progress p from 0 to 1."""

from __future__ import annotations

import math


def drop_fraction(start: float, progress: float, schedule: str) -> float:
    """The fraction of weights dropped: constant, or start/2·(1 + cos(π·p)) (Dettmers and Zettlemoyer 2019; RigL).

    Args:
      start: at progress 0.
      progress: in [0, 1], of the phase in which masks change; there is no update at its end, where the cosine is zero.
      schedule: "cosine" or "constant".
    """
    return start if schedule == "constant" else start / 2 * (1 + math.cos(math.pi * progress))


def cubic_sparsity(initial: float, final: float, progress: float) -> float:
    """The sparsity of gradual pruning, final + (initial - final)·(1 - p)³ (Zhu and Gupta 2018; GraNet).

    Args:
      initial: at progress 0.
      final: at progress 1, the last update.
      progress: in [0, 1].
    """
    return final + (initial - final) * (1 - progress) ** 3
