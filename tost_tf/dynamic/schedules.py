"""How much an update changes, by a progress p from 0 to 1."""

from __future__ import annotations

import math


def drop_fraction(start: float, progress: float, schedule: str) -> float:
    """The share of weights that is dropped: constant, or start/2·(1 + cos(π·p)) (Dettmers and Zettlemoyer 2019; RigL).

    Args:
      start: at progress 0.
      progress: in the phase in which masks change, [0, 1]; no update comes at its end, where the cosine is zero.
      schedule: "cosine" or "constant".
    """
    return start if schedule == "constant" else start / 2 * (1 + math.cos(math.pi * progress))


def cubic_sparsity(initial: float, final: float, progress: float) -> float:
    """The sparsity of gradual pruning, final + (initial - final)·(1 - p)³ (Zhu and Gupta 2018; GraNet).

    Args:
      initial: at progress 0.
      final: at progress 1, which is the last update.
      progress: in [0, 1].
    """
    return final + (initial - final) * (1 - progress) ** 3
