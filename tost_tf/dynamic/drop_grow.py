"""One update of a mask, in NumPy: some weights are dropped, as many are grown."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tost_tf.masks.select import highest


def drop_and_grow(
    weight: np.ndarray,
    mask: np.ndarray,
    drop_fraction: float,
    growth_score: np.ndarray,
    drop_score: Callable[[np.ndarray], np.ndarray] = np.abs,
) -> np.ndarray:
    """The mask after an update; as many weights are kept as before.

    floor(drop_fraction · kept) weights are dropped, those with the lowest scores, and as many grown, the highest
    scores among all places that are not kept then. So what was just dropped may grow again: it has never left the
    mask. That is RigL's algorithm (Evci et al. 2020, Algorithm 1: i ∉ θ without what was dropped); the rounding is
    that of its authors' code, since the paper gives none. Ties go to the lower index, which stays, or grows.

    Args:
      weight: the kernel.
      mask: its mask, of its shape, 1 = kept.
      drop_fraction: in [0, 1].
      growth_score: a finite score for each weight; those of weights that are kept are not looked at.
      drop_score: from the kernel to a score for each weight.

    Returns:
      The new mask, uint8.
    """
    kept = int(mask.sum())
    dropped = math.floor(drop_fraction * kept)
    stay = highest(np.where(mask > 0, drop_score(weight), -np.inf), kept - dropped)
    grown = highest(np.where(stay > 0, -np.inf, growth_score), dropped)
    return stay | grown
