"""The average of tickets, pruned back to their density."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tost_tf.masks.quota import Quota
from tost_tf.masks.select import Selection, highest_count_of_all, require_finite

Weights = Mapping[str, np.ndarray]
Selected = Callable[[Weights, int], Weights]  # scores and the number of weights to keep -> masks


def newest_fraction(variant: str, cycle: int, factor: float) -> float:
    """The coefficient of the ticket of cycle k = 1, 2, ... in the average with the tickets before it.

    Args:
      variant: "caa", the mean of all tickets so far: 1/(k+1), since the end of ordinary training is a ticket too; or
        "cima", a moving average: `factor`.
      cycle: k.
      factor: in (0, 1].
    """
    return 1 / (cycle + 1) if variant == "caa" else factor


def selected_by(selection: Selection, names: Mapping[str, str]) -> Selected:
    """Selects the highest scores of all weights together, in the units of a pattern.

    Args:
      selection: of masks with the pattern.
      names: weight path -> name of the weight.
    """

    def select(scores: Weights, kept: int) -> Weights:
        masks = selection.select({path: scores[name] for path, name in names.items()}, Quota(together=kept))
        return {names[path]: mask for path, mask in masks.items()}

    return select


def superposed(
    previous: Weights,
    ticket: Weights,
    fraction: float,
    kept: int,
    prunable: list[str],
    select: Selected = highest_count_of_all,
) -> dict[str, np.ndarray]:
    """previous·(1 - fraction) + ticket·fraction, pruned to the `kept` largest |weights| (Sup-tickets, Yin et al. 2022).

    `previous` is the previous superposition, already pruned, as in the released code: it has the density of a ticket.

    Args:
      previous: name -> array, including the variables of BatchNormalization.
      ticket: arrays of the same names and shapes.
      fraction: the coefficient of the ticket.
      kept: how many prunable weights stay, over all layers.
      prunable: the names of the weights that are ranked; the others are only averaged.
      select: from their magnitudes and `kept` to masks.

    Raises:
      TostError: a ranked weight is not finite; the message names it.
    """
    average = {
        name: (array.astype(np.float64) * (1 - fraction) + ticket[name].astype(np.float64) * fraction).astype(
            array.dtype
        )
        for name, array in previous.items()
    }
    magnitudes = {name: np.abs(average[name]) for name in prunable}
    require_finite(magnitudes, " in the superposition")
    masks = select(magnitudes, kept)
    return average | {
        name: np.where(masks[name] > 0, average[name], 0).astype(average[name].dtype) for name in prunable
    }
