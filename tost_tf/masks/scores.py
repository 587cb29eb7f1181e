"""How much each weight is worth, by one criterion a function: weight path -> float array of the weight's shape."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tost_tf.seeds import derive_seed


def random_scores(weights: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Uniform in [0, 1), drawn for each layer from a seed of its own."""
    return {
        path: np.random.default_rng(derive_seed(seed, f"random mask of {path}")).random(tuple(weight.shape))
        for path, weight in weights.items()
    }


def magnitude_scores(weights: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """|weight|."""
    return {path: np.abs(weight.numpy()) for path, weight in weights.items()}
