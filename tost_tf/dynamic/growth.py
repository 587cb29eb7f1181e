"""What decides which weights grow: the highest scores do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Growth:
    """A way to score the places where a weight may grow.

    Attributes:
      score: from the gradient of a kernel (zeros if none is kept) and a random generator of its own to a score for each
        weight.
      needs_gradient: whether it looks at the gradient.
    """

    score: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    needs_gradient: bool = False


def random_scores(gradient: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Anywhere, with equal chances (SET, Mocanu et al. 2018)."""
    return generator.random(gradient.shape)


def gradient_scores(gradient: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Where the loss falls fastest: the largest |∂L/∂θ| of the dense gradient (RigL, Evci et al. 2020)."""
    del generator
    return np.abs(gradient)


RANDOM = Growth(random_scores)
GRADIENT = Growth(gradient_scores, needs_gradient=True)
