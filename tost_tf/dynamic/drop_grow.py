"""One update of a mask, in NumPy: some weights are dropped, as many are grown."""

import numpy as np

from tost_tf.masks.select import highest


def drop_and_grow(
    weight: np.ndarray,
    mask: np.ndarray,
    drop_fraction: float,
    growth_score: np.ndarray,
    may_grow: np.ndarray | None = None,
) -> np.ndarray:
    """The mask after an update; as many weights are kept as before.

    round(drop_fraction · kept) weights are dropped, the smallest |weights|, and as many grown, the highest scores
    among the places that were empty before. Ties go to the lower index, which stays, or grows. Where fewer places are
    empty than weights would be dropped, nothing else is left to grow than what was dropped: the largest of those stay
    in the mask, and keep their values, as in the released code of RigL.

    Args:
      weight: the kernel.
      mask: its mask, of its shape, 1 = kept.
      drop_fraction: in [0, 1].
      growth_score: a finite score for each weight; those of places where nothing may grow are not looked at.
      may_grow: the places that are empty, if not all that `mask` leaves out: those that were empty before weights
        were pruned in the same update.

    Returns:
      The new mask, uint8.
    """
    empty = mask == 0 if may_grow is None else may_grow
    kept = int(mask.sum())
    changed = min(round(drop_fraction * kept), int(empty.sum()))
    stay = highest(np.where(mask > 0, np.abs(weight), -np.inf), kept - changed)
    grown = highest(np.where(empty, growth_score, -np.inf), changed)
    return stay | grown
