"""What decides which weights grow: the highest scores do."""

from collections.abc import Callable

import numpy as np

# Gradient of a kernel (zeros if none is kept) and a random generator of its own -> a score for each weight.
Growth = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def random_growth(gradient: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Anywhere, with equal chances (SET, Mocanu et al. 2018)."""
    return generator.random(gradient.shape)


def gradient_growth(gradient: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Where the loss falls fastest: the largest |∂L/∂θ| of the dense gradient (RigL, Evci et al. 2020)."""
    del generator
    return np.abs(gradient)
