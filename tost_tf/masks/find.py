"""The ways to find a mask: each is a score, an allocation and a selection.

All take the model whose weights are masked, and return `Masks` over every prunable weight of it; layers whose name
matches `dense_layers` keep all of theirs and do not count towards `sparsity`.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tost_tf.errors import TostError, unknown_name
from tost_tf.masks import scores
from tost_tf.masks.allocate import erdos_renyi_kernel, uniform
from tost_tf.masks.mask import Masks
from tost_tf.masks.prunable import prunable_weights
from tost_tf.masks.select import highest_by_layer, highest_of_all, require_finite

if TYPE_CHECKING:
    from tost_tf.compat import keras, tf

SCOPES = ("global", "layer")


def random(
    model: "keras.Model",
    dataset: "tf.data.Dataset | None" = None,
    *,
    sparsity: float,
    scope: str = "global",
    seed: int = 0,
    dense_layers: str = "",
) -> Masks:
    """Random pruning: a random share of all weights together ("global") or of each layer ("layer")."""
    del dataset
    return _find(model, lambda weights: scores.random_scores(weights, seed), sparsity, scope, dense_layers)


def erk(
    model: "keras.Model",
    dataset: "tf.data.Dataset | None" = None,
    *,
    sparsity: float,
    scope: str = "global",
    seed: int = 0,
    dense_layers: str = "",
) -> Masks:
    """Random pruning with Erdős-Rényi-Kernel densities (Evci et al. 2020); `scope` makes no difference."""
    del dataset, scope
    return _find(model, lambda weights: scores.random_scores(weights, seed), sparsity, "erk", dense_layers)


def magnitude(
    model: "keras.Model",
    dataset: "tf.data.Dataset | None" = None,
    *,
    sparsity: float,
    scope: str = "global",
    seed: int = 0,
    dense_layers: str = "",
) -> Masks:
    """Magnitude pruning: the largest |weights| of the model as it is stay."""
    del dataset, seed
    return _find(model, scores.magnitude_scores, sparsity, scope, dense_layers)


def _find(
    model: "keras.Model",
    score: Callable[[Mapping[str, Any]], dict[str, np.ndarray]],
    sparsity: float,
    scope: str,
    dense_layers: str,
) -> Masks:
    if not 0 <= sparsity < 1:
        raise TostError(f"sparsity is {sparsity:g}, it must be at least 0 and below 1")
    if scope not in (*SCOPES, "erk"):
        raise unknown_name("mask scope", scope, SCOPES)
    weights = prunable_weights(model)
    left_dense = {path for path in weights if dense_layers and re.search(dense_layers, path.rpartition("/")[0])}
    ranked = {path: weight for path, weight in weights.items() if path not in left_dense}
    if not ranked:
        raise TostError(f"{model.name} has no weight to prune besides those left dense")
    found = score(ranked)
    require_finite(found)
    shapes = {path: tuple(weight.shape) for path, weight in ranked.items()}
    if scope == "global":
        masks = highest_of_all(found, sparsity)
    else:
        allocate = uniform if scope == "layer" else erdos_renyi_kernel
        masks = highest_by_layer(found, allocate(shapes, sparsity))
    return Masks({path: masks.get(path, np.ones(tuple(weight.shape))) for path, weight in weights.items()})
