"""Tickets averaged into one, and pruned back to their density."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.masks.select import highest_count_of_all, require_finite

Weights = Mapping[str, np.ndarray]


def newest_share(variant: str, cycle: int, factor: float) -> float:
    """What the ticket of cycle k = 1, 2, ... weighs in the average it joins.

    Args:
      variant: "caa", the mean of all tickets so far: 1/(k+1), for the end of ordinary training is a ticket too; or
        "cima", a moving average: `factor`.
      cycle: k.
      factor: in (0, 1].
    """
    return 1 / (cycle + 1) if variant == "caa" else factor


def superposed(
    previous: Weights, ticket: Weights, share: float, kept: int, prunable: list[str]
) -> dict[str, np.ndarray]:
    """previous·(1 - share) + ticket·share, of which the `kept` largest |weights| stay (Sup-tickets, Yin et al. 2022).

    `previous` is the superposition before, pruned, as in the released code: it has the density of a ticket at any time.

    Args:
      previous: name -> array, BatchNormalization's variables included.
      ticket: the same names and shapes.
      share: of the ticket.
      kept: how many of the prunable weights stay, of all layers together.
      prunable: the names of the weights that are ranked; the others are averaged only.

    Raises:
      TostError: a weight that is ranked is not finite; it is named.
    """
    average = {
        name: (array.astype(np.float64) * (1 - share) + ticket[name].astype(np.float64) * share).astype(array.dtype)
        for name, array in previous.items()
    }
    magnitudes = {name: np.abs(average[name]) for name in prunable}
    require_finite(magnitudes, " in the superposition")
    masks = highest_count_of_all(magnitudes, kept)
    return average | {
        name: np.where(masks[name] > 0, average[name], 0).astype(average[name].dtype) for name in prunable
    }
