"""The ways to find a mask: each is a score, an allocation and a selection.

All take the model whose weights are masked, and return `Masks` over every prunable weight of it. Layers whose path
matches `dense_layers` keep all of theirs and do not count towards `sparsity`; weights that a pruning wrapper has masked
already stay masked. Exactly round((1 - sparsity) · N) weights stay: of all together with scope "global", of each kernel
with scope "layer".
"""

import itertools
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.errors import NotFinite, TostError, unknown_name
from tost_tf.masks import gradient_scores, scores
from tost_tf.masks.allocate import erdos_renyi_kernel, kept_count, require_room, uniform
from tost_tf.masks.mask import Masks
from tost_tf.masks.prunable import present_masks, prunable_weights, ranked_weights
from tost_tf.masks.select import (
    highest_by_layer,
    highest_count_of_all,
    highest_of_all,
    require_finite,
    require_left,
    without_pruned,
)
from tost_tf.masks.synflow import SynapticFlow, falling_count, prune_iteratively

SCOPES = ("global", "layer")

Scores = dict[str, np.ndarray]
Weights = Mapping[str, tf.Variable]


def random(
    model: keras.Model,
    dataset: tf.data.Dataset | None = None,
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
    model: keras.Model,
    dataset: tf.data.Dataset | None = None,
    *,
    sparsity: float,
    seed: int = 0,
    dense_layers: str = "",
) -> Masks:
    """Random pruning with Erdős-Rényi-Kernel densities by layer (Evci et al. 2020)."""
    del dataset
    return _find(model, lambda weights: scores.random_scores(weights, seed), sparsity, "erk", dense_layers)


def magnitude(
    model: keras.Model,
    dataset: tf.data.Dataset | None = None,
    *,
    sparsity: float,
    scope: str = "global",
    dense_layers: str = "",
) -> Masks:
    """Magnitude pruning: the largest |weights| of the model as it is stay."""
    del dataset
    return _find(model, scores.magnitude_scores, sparsity, scope, dense_layers)


def snip(
    model: keras.Model,
    dataset: Iterable[gradient_scores.Batch],
    *,
    sparsity: float,
    scope: str = "global",
    dense_layers: str = "",
    batches: int | None = None,
) -> Masks:
    """SNIP (Lee et al. 2019) on the first `batches` batches (all by default) of images and one-hot labels."""
    _require_one_copy(model)
    _require_finite_weights(model)
    taken = _take(dataset, batches)
    return _find(
        model, lambda weights: gradient_scores.snip_scores(model, weights, taken), sparsity, scope, dense_layers
    )


def grasp(
    model: keras.Model,
    dataset: Iterable[gradient_scores.Batch],
    *,
    sparsity: float,
    scope: str = "global",
    dense_layers: str = "",
    batches: int | None = None,
) -> Masks:
    """GraSP (Wang et al. 2020) on the first `batches` batches (all by default) of images and one-hot labels."""
    _require_one_copy(model)
    _require_finite_weights(model)
    taken = _take(dataset, batches)
    return _find(
        model, lambda weights: gradient_scores.grasp_scores(model, weights, taken), sparsity, scope, dense_layers
    )


def synflow(
    model: keras.Model,
    dataset: tf.data.Dataset | None = None,
    *,
    sparsity: float,
    scope: str = "global",
    dense_layers: str = "",
    iterations: int = 100,
) -> Masks:
    """SynFlow (Tanaka et al. 2020), data-free, in `iterations` steps of exponentially falling density.

    The density falls from that of the masks that are there already: of all layers together with scope "global", of
    each layer from its own with scope "layer".
    """
    del dataset
    if iterations < 1:
        raise TostError(f"iterations is {iterations}, it must be at least 1")
    _require_sparsity(sparsity)
    _require_scope(scope)
    _require_one_copy(model)
    _require_finite_weights(model)
    flow = SynapticFlow(model)
    start = _present(model, dense_layers)
    left = {path: int(mask.sum()) for path, mask in start.items()}
    require_room({path: mask.size for path, mask in start.items()}, sparsity, scope)
    # The end is looked at first: what a step on the way asks for would tell a reader nothing.
    if scope == "layer":
        require_left({path: kept_count(mask.size, sparsity) for path, mask in start.items()}, left)
    else:
        require_left({model.name: kept_count(start.size, sparsity)}, {model.name: start.kept})

    def select(found: Scores, step: int, before: Masks) -> Masks:
        ranked = without_pruned({path: found[path] for path in before}, before)
        if scope == "global":
            return highest_count_of_all(ranked, falling_count(start.kept, start.size, sparsity, step, iterations))
        falling = {path: falling_count(left[path], start[path].size, sparsity, step, iterations) for path in start}
        return highest_by_layer(ranked, falling)

    return _with_dense_layers(model, prune_iteratively(flow.scores, select, start, iterations))


def _find(
    model: keras.Model, score: Callable[[Weights], Scores], sparsity: float, scope: str, dense_layers: str
) -> Masks:
    """Scores the weights that are ranked, once, and selects."""
    _require_sparsity(sparsity)
    if scope != "erk":
        _require_scope(scope)
    found = score(ranked_weights(model, dense_layers))
    require_finite(found)
    require_room({path: score.size for path, score in found.items()}, sparsity, scope)
    masks = _select(without_pruned(found, present_masks(model)), sparsity, scope)
    return _with_dense_layers(model, masks)


def _select(found: Scores, sparsity: float, scope: str) -> Masks:
    if scope == "global":
        return highest_of_all(found, sparsity)
    shapes = {path: score.shape for path, score in found.items()}
    allocate = uniform if scope == "layer" else erdos_renyi_kernel
    return highest_by_layer(found, allocate(shapes, sparsity))


def _present(model: keras.Model, dense_layers: str) -> Masks:
    """The masks of the weights that are ranked: those of pruning wrappers, and ones where there is none."""
    present = present_masks(model)
    weights = ranked_weights(model, dense_layers)
    return Masks({path: present.get(path, np.ones(tuple(weight.shape))) for path, weight in weights.items()})


def _with_dense_layers(model: keras.Model, masks: Masks) -> Masks:
    return Masks(
        {path: masks.get(path, np.ones(tuple(weight.shape))) for path, weight in prunable_weights(model).items()}
    )


def _take(dataset: Iterable[gradient_scores.Batch], batches: int | None) -> list[gradient_scores.Batch]:
    taken = list(itertools.islice(dataset, batches))
    if not taken or (batches is not None and len(taken) < batches):
        raise TostError(f"{batches or 'some'} batches are needed to find the mask, the dataset gave {len(taken)}")
    return taken


def _require_one_copy(model: keras.Model) -> None:
    mirrored = any(isinstance(variable, tf.distribute.DistributedValues) for variable in model.variables)
    if mirrored or tf.distribute.has_strategy():
        raise TostError(
            f"the mask of {model.name} is looked for under a distribution strategy: make the model and find its mask "
            "outside the strategy's scope, and call sparsify inside it"
        )


def _require_finite_weights(model: keras.Model) -> None:
    """Raises `NotFinite`, naming the first weight of `model` that is not finite.

    To be called before gradients are taken: they carry it into the scores of other layers too.
    """
    paths = {id(weight): path for path, weight in prunable_weights(model).items()}
    for weight in model.weights:
        if np.isfinite(weight.numpy()).all():
            continue
        if id(weight) in paths:
            raise NotFinite(f"the score of {paths[id(weight)]} is not finite everywhere, for its weights are not")
        raise NotFinite(f"{weight.name.removesuffix(':0')} is not finite everywhere, so that no weight can be scored")


def _require_scope(scope: str) -> None:
    if scope not in SCOPES:
        raise unknown_name("mask scope", scope, SCOPES)


def _require_sparsity(sparsity: float) -> None:
    if not 0 <= sparsity < 1:
        raise TostError(f"sparsity is {sparsity:g}, it must be at least 0 and below 1")
