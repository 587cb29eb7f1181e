"""How much an update changes, by the progress p of training from 0 to 1 at the last update."""

import math


def drop_fraction(start: float, progress: float, schedule: str) -> float:
    """The share of weights that is dropped: constant, or start/2·(1 + cos(π·p)) (Dettmers and Zettlemoyer 2019; RigL).

    Args:
      start: at progress 0.
      progress: in [0, 1].
      schedule: "cosine" or "constant".
    """
    return start if schedule == "constant" else start / 2 * (1 + math.cos(math.pi * progress))


def cubic_sparsity(initial: float, final: float, progress: float) -> float:
    """The sparsity of gradual pruning, final + (initial - final)·(1 - p)³ (Zhu and Gupta 2018; GraNet)."""
    return final + (initial - final) * (1 - progress) ** 3
