"""Scores that decide which weights grow: those with the highest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Growth:
    """A way to score the weights that may grow.

    Attributes:
      score: takes the gradient of a kernel (zeros if none is kept) and a random generator; returns a score for each
        weight.
      needs_gradient: whether `score` uses the gradient.
    """

    score: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    needs_gradient: bool = False


def random_scores(gradient: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Uniformly random scores (SET, Mocanu et al. 2018)."""
    return generator.random(gradient.shape)


def gradient_scores(gradient: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """|∂L/∂θ| of the dense gradient: weights grow where the loss would fall fastest (RigL, Evci et al. 2020)."""
    del generator
    return np.abs(gradient)


RANDOM = Growth(random_scores)
GRADIENT = Growth(gradient_scores, needs_gradient=True)
