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
from tost_tf.errors import TostError, unknown_name
from tost_tf.masks import gradient_scores, scores
from tost_tf.masks.allocate import erdos_renyi_kernel, kept_count, uniform
from tost_tf.masks.mask import Masks
from tost_tf.masks.prunable import is_ranked, present_masks, prunable_weights
from tost_tf.masks.select import highest_by_layer, highest_of_all, require_finite, without_pruned
from tost_tf.masks.synflow import SynapticFlow, prune_iteratively

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
    """SynFlow (Tanaka et al. 2020), data-free, in `iterations` steps of exponentially falling density."""
    del dataset
    if iterations < 1:
        raise TostError(f"iterations is {iterations}, it must be at least 1")
    _require_sparsity(sparsity)
    _require_one_copy(model)
    flow = SynapticFlow(model)

    def select(found: Scores, step_sparsity: float, before: Masks) -> Masks:
        ranked = without_pruned({path: found[path] for path in before}, before)
        return _select(ranked, step_sparsity, scope)

    weights = _ranked_weights(model, dense_layers)
    present = present_masks(model)
    start = Masks({path: present.get(path, np.ones(tuple(weight.shape))) for path, weight in weights.items()})
    _require_room(dict(start), sparsity, scope)
    masks = prune_iteratively(flow.scores, select, start, sparsity, iterations)
    return _with_dense_layers(model, masks)


def _find(
    model: keras.Model, score: Callable[[Weights], Scores], sparsity: float, scope: str, dense_layers: str
) -> Masks:
    """Scores the weights that are ranked, once, and selects."""
    _require_sparsity(sparsity)
    if scope not in (*SCOPES, "erk"):
        raise unknown_name("mask scope", scope, SCOPES)
    found = score(_ranked_weights(model, dense_layers))
    require_finite(found)
    _require_room(found, sparsity, scope)
    masks = _select(without_pruned(found, present_masks(model)), sparsity, scope)
    return _with_dense_layers(model, masks)


def _select(found: Scores, sparsity: float, scope: str) -> Masks:
    if scope == "global":
        return highest_of_all(found, sparsity)
    shapes = {path: score.shape for path, score in found.items()}
    allocate = uniform if scope == "layer" else erdos_renyi_kernel
    return highest_by_layer(found, allocate(shapes, sparsity))


def _ranked_weights(model: keras.Model, dense_layers: str) -> dict[str, tf.Variable]:
    weights = prunable_weights(model)
    ranked = {path: weight for path, weight in weights.items() if is_ranked(path.rpartition("/")[0], dense_layers)}
    if not ranked:
        raise TostError(f"{model.name} has no weight to prune besides those left dense")
    return ranked


def _require_room(found: Scores, sparsity: float, scope: str) -> None:
    """Raises `TostError` where some layer would have to be empty, whatever the scores are."""
    sizes = {path: score.size for path, score in found.items()}
    if scope == "layer":
        empty = [path for path, size in sizes.items() if not kept_count(size, sparsity)]
        if empty:
            raise TostError(f"at sparsity {sparsity:g} in each layer no weight would be left in {', '.join(empty)}")
    kept = kept_count(sum(sizes.values()), sparsity)
    if kept < len(sizes):
        raise TostError(
            f"at sparsity {sparsity:g} only {kept} of {sum(sizes.values())} weights stay, fewer than there are layers "
            f"({len(sizes)}): some would be empty"
        )


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


def _require_sparsity(sparsity: float) -> None:
    if not 0 <= sparsity < 1:
        raise TostError(f"sparsity is {sparsity:g}, it must be at least 0 and below 1")
