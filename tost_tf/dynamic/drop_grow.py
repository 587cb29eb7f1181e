"""One update of a mask, in NumPy: some weights are dropped, and the same number is grown."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tost_tf.masks.patterns.division import Division
from tost_tf.masks.patterns.unstructured import Unstructured
from tost_tf.masks.select import highest, highest_in_rows


def drop_and_grow(
    weight: np.ndarray,
    mask: np.ndarray,
    drop_fraction: float,
    growth_score: np.ndarray,
    drop_score: Callable[[np.ndarray], np.ndarray] = np.abs,
    division: Division | None = None,
) -> np.ndarray:
    """The mask after an update; it keeps as many weights as before.

    The floor(drop_fraction · kept) weights with the lowest scores are dropped. Then the same number of weights grow,
    those with the highest scores among all that are not kept then. So a dropped weight may grow again in the same
    update; then it has never left the mask. This is RigL's algorithm (Evci et al. 2020, Algorithm 1: i ∉ θ without the
    dropped weights). The paper does not say how to round; this is the rounding of the authors' code. With equal scores,
    the lower index stays, or grows.

    With a division units are dropped and grown instead of weights, by the sums of their scores, and in each cell as
    many grow as were dropped in it.

    Args:
      weight: the kernel.
      mask: its mask, of the same shape, 1 = kept.
      drop_fraction: in [0, 1].
      growth_score: a finite score for each weight; scores of kept weights are ignored.
      drop_score: from the kernel to a score for each weight.
      division: of the kernel, by a pattern that the mask holds; each weight is a unit by default.

    Returns:
      The new mask, uint8.
    """
    division = division or Unstructured().divide(mask.shape, ())
    kept = division.grouped(mask)[..., 0]
    dropped = math.floor(drop_fraction * int(kept.sum()))
    drop, growth = division.summed(drop_score(weight)), division.summed(growth_score)
    stay = highest(np.where(kept > 0, drop, -np.inf), int(kept.sum()) - dropped)
    missing = kept.sum(axis=1, dtype=np.int64) - stay.sum(axis=1, dtype=np.int64)
    grown = highest_in_rows(np.where(stay > 0, -np.inf, growth), missing)
    return division.mask(stay | grown)
