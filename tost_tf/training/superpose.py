"""The average of tickets, pruned back to their density."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.masks.select import highest_count_of_all, require_finite

Weights = Mapping[str, np.ndarray]


def newest_fraction(variant: str, cycle: int, factor: float) -> float:
    """The coefficient of the ticket of cycle k = 1, 2, ... in the average with the tickets before it.

    Args:
      variant: "caa", the mean of all tickets so far: 1/(k+1), since the end of ordinary training is a ticket too; or
        "cima", a moving average: `factor`.
      cycle: k.
      factor: in (0, 1].
    """
    return 1 / (cycle + 1) if variant == "caa" else factor


def superposed(
    previous: Weights, ticket: Weights, fraction: float, kept: int, prunable: list[str]
) -> dict[str, np.ndarray]:
    """previous·(1 - fraction) + ticket·fraction, pruned to the `kept` largest |weights| (Sup-tickets, Yin et al. 2022).

    `previous` is the previous superposition, already pruned, as in the released code: it has the density of a ticket.

    Args:
      previous: name -> array, including the variables of BatchNormalization.
      ticket: arrays of the same names and shapes.
      fraction: the coefficient of the ticket.
      kept: how many prunable weights stay, over all layers.
      prunable: the names of the weights that are ranked; the others are only averaged.

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
    masks = highest_count_of_all(magnitudes, kept)
    return average | {
        name: np.where(masks[name] > 0, average[name], 0).astype(average[name].dtype) for name in prunable
    }
