"""From a dense model and its masks to a sparse model, and back to a plain one."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.fit import own_steps
from tost_tf.compat.graphs import require_graph_model
from tost_tf.compat.tfmot import is_pruning_wrapper
from tost_tf.errors import TostError
from tost_tf.graph.copy import copy_layer, unwrapped_layer
from tost_tf.graph.kernels import current_masks, is_prunable, kernels_in, prunable_layers, prunable_weights
from tost_tf.graph.precision import weight_precision
from tost_tf.graph.rebuild import rebuild
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern, parsed_pattern, requested_sparsity
from tost_tf.masks.quota import Quota
from tost_tf.registry import MASKS
from tost_tf.seeds import derive_seed

if TYPE_CHECKING:
    from tost_tf.masks.wrapper import FixedMask, MaskedKernel

LAYER_MASKS = ("erk", "random", "magnitude")  # of a layer by itself
Sparsifiable = TypeVar("Sparsifiable", bound="keras.layers.Layer | list[keras.layers.Layer]")


def sparsify(
    model: Sparsifiable,
    masks: Mapping[str, np.ndarray] | None = None,
    *,
    sparsity: float | None = None,
    mask: str | Callable[..., Mapping[str, np.ndarray]] = "erk",
    seed: int = 0,
    pattern: str | Pattern = UNSTRUCTURED,
) -> Sparsifiable:
    """A copy of `model` in which every prunable layer is wrapped in a `FixedMask`, with the same weights, masked.

    A model's copy is of the same class, with a `train_step` of its own if that has one; where that cannot be, it is
    logged. A layer, of a model that is made by hand, gives its wrapper, whose masks are made when it is built; there
    each kernel has the sparsity.

    Args:
      model: a functional or Sequential tf_keras model, a layer, or a list of layers; it is left as it is.
      masks: a mask for every prunable weight: path -> 0/1 array; of a layer by the names of kernels ("kernel").
      sparsity: in place of `masks`: the fraction of weights that will be zero, in [0, 1).
      mask: how the mask for `sparsity` is found: a name of one that needs no data ("erk", "random", "magnitude",
        "synflow"; for layers "erk" and "random", which are the same there, and "magnitude"), or a function
        (model, sparsity=..., pattern=...) that gives masks; the latter is passed only if it is given.
      seed: of what is random.
      pattern: with `sparsity`: which weights are kept or removed together, as for `MaskSearch`; "2:4" and the like need
        no sparsity. "channels" is for models only.

    Raises:
      TostError: `model` is of another kind, or the masks do not fit its weights.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.9)  # an ERK mask
      >>> sparse = tost.sparsify(model, tost.masks.magnitude(model, sparsity=0.9))
      >>> sparse.compile("adam", loss)
      >>> history = sparse.fit(images, labels, verbose=0)
    """
    kind = parsed_pattern(pattern)
    if masks is not None and kind.text != UNSTRUCTURED:
        raise TostError(f"the pattern {kind.text} is for a mask that is found: leave it out, or the masks")
    if (masks is None) == (sparsity is None and kind.sparsity is None):
        raise TostError("sparsify takes either masks or a sparsity, as in sparsify(model, sparsity=0.9)")
    if masks is not None and not isinstance(masks, Mapping):
        raise TostError(f"masks are a Masks or another mapping of weight path to 0/1 array, got {type(masks).__name__}")
    if isinstance(model, list | tuple):
        layers = [sparsify(layer, masks, sparsity=sparsity, mask=mask, seed=seed, pattern=kind) for layer in model]
        return cast("Sparsifiable", layers)
    if isinstance(model, keras.layers.Layer) and not isinstance(model, keras.Model):
        wanted = requested_sparsity(sparsity, kind) if masks is None else None
        return _sparse_layer(model, masks, wanted, mask, seed, kind)
    require_graph_model(model)
    if masks is None:
        given: dict[str, Any] = {"sparsity": sparsity} | ({"pattern": kind} if kind.text != UNSTRUCTURED else {})
        masks = mask(model, **given) if callable(mask) else _found(model, mask, seed, **given)
    return _sparse_model(model, masks if isinstance(masks, Masks) else Masks(masks))


def _found(model: keras.Model, mask: str, seed: int, **given: Any) -> Masks:
    from tost_tf.masks.search import MaskSearch  # which brings TensorFlow

    method = MASKS[mask]
    options = [method.options()] if method.options is not None else []
    return method.find(MaskSearch(model, seed=seed, **given), *options).masks


def _sparse_model(model: keras.Model, masks: Masks) -> keras.Model:
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    masks = masks.for_weights(shapes)
    masks.require_match(shapes, f"the model {model.name!r}")
    wrapper = _wrapper()
    sparse = rebuild(model, lambda layer: wrapper(copy_layer(layer)) if is_prunable(layer) else copy_layer(layer))
    lost = [name for name in own_steps(model) if name not in own_steps(sparse)]
    if lost:
        logging.warning(
            "%s overrides %s, but its sparse copy does not, since the class is not made from (inputs, outputs)",
            type(model).__name__,
            " and ".join(lost),
        )
    for path, masked in masked_kernels(sparse).items():
        masked.set_mask(masks[path])
    return sparse


def _sparse_layer(
    layer: keras.layers.Layer,
    masks: Mapping[str, np.ndarray] | None,
    sparsity: float | None,
    mask: str | Callable[..., Mapping[str, np.ndarray]],
    seed: int,
    pattern: Pattern,
) -> FixedMask:
    """A wrapper around a copy of a layer, with its weights if it has some, whose masks are made when it is built."""
    if masks is None and (not isinstance(mask, str) or mask not in LAYER_MASKS):
        raise TostError(f"the mask of a layer by itself is one of {', '.join(LAYER_MASKS)}, got {mask!r}")
    if is_pruning_wrapper(layer):
        raise TostError(f"the layer {layer.name!r} has a mask already")
    values = layer.get_weights() if layer.built else None

    def first_masks(wrapper: FixedMask) -> None:
        if values:
            wrapper.layer.set_weights(values)
        kernels = wrapper.masked_kernels
        found = masks or {}
        if sparsity is not None:
            axes = {kernel.name: kernel.axes for kernel in kernels_in(wrapper.layer)}
            shapes = {name: (tuple(masked.kernel.shape), axes[name]) for name, masked in kernels.items()}
            scores = {name: _scores(f"{layer.name}/{name}", masked, mask, seed) for name, masked in kernels.items()}
            kept = {name: kept_count(score.size, sparsity) for name, score in scores.items()}
            found = pattern.selection_of(shapes).select(scores, Quota(kept))
        found = Masks({path.removeprefix(f"{layer.name}/"): values for path, values in found.items()})
        found.require_match({name: tuple(m.kernel.shape) for name, m in kernels.items()}, f"the layer {layer.name!r}")
        for name, masked in kernels.items():
            masked.set_mask(found[name])

    return _wrapper()(copy_layer(layer), first_masks=first_masks)


def _scores(path: str, masked: MaskedKernel, mask: object, seed: int) -> np.ndarray:
    if mask == "magnitude":
        return np.abs(masked.kernel.numpy())
    return np.random.default_rng(derive_seed(seed, path)).random(tuple(masked.kernel.shape))


def masked_kernels(model: keras.Model) -> dict[str, MaskedKernel]:
    """Weight path -> the kernel and its mask, in the wrappers of a model made by `sparsify`."""
    wrappers = ((path, layer) for path, layer in prunable_layers(model) if isinstance(layer, _wrapper()))
    return {f"{path}/{name}": masked for path, layer in wrappers for name, masked in layer.masked_kernels.items()}


def with_dense_gradients(model: keras.Model) -> list[tf.Variable]:
    """Gives the pruned weights of a model made by `sparsify` the gradient they would have without a mask.

    Must be called before a training step is traced. Returns the kernels, for an optimizer that masks its steps
    (`MaskedOptimizer.keep_gradients`).
    """
    for _, layer in prunable_layers(model):
        if isinstance(layer, _wrapper()):
            layer.dense_gradients = True
    return [masked.kernel for masked in masked_kernels(model).values()]


def masks_of(model: keras.Model) -> Masks:
    """The current masks of a model made by `sparsify`."""
    return Masks(current_masks(model))


def masks_of_zeros(model: keras.Model) -> Masks:
    """The masks that keep the non-zero prunable weights of a plain model."""
    return Masks({path: weight.numpy() != 0 for path, weight in prunable_weights(model).items()})


def strip(model: keras.Model, ghosts: str = "refuse") -> keras.Model:
    """The plain tf_keras model that is left: the original's layers, names and config, weights exactly masked.

    Layers with mixed precision get the precision of their weights, which is float32. The weights are the same as with
    tensorflow-model-optimization's `strip_pruning`, but the copy shares no layer with `model`.

    Args:
      model: a model made by `sparsify`, or a `GhostModel`.
      ghosts: "refuse" where ghosts are still in use, as without them the model is another function; or "remove".

    Raises:
      TostError: `model` is neither, nor a functional or Sequential model; or ghosts are in use.

    Examples:
      >>> final = tost.strip(tost.sparsify(model, sparsity=0.9))
      >>> float(np.mean(final.get_layer("conv2").kernel.numpy() == 0).round(2))
      0.95
    """
    if ghosts not in ("refuse", "remove"):
        raise TostError(f"ghosts is {ghosts!r}, it must be 'refuse' or 'remove'")
    if ghosts == "refuse" and getattr(model, "ghosts_active", False):
        raise TostError(
            f"the ghosts of {model.name} are still in use, and without them it is another function: train until a "
            "GhostSchedule has removed them, or remove them as they are by strip(model, ghosts='remove')"
        )
    with getattr(model, "branches_merged", contextlib.nullcontext)():
        return without_wrappers(getattr(model, "plain", model))


def without_wrappers(model: keras.Model) -> keras.Model:
    """A copy of a model made by `sparsify`, or of a view of it, without pruning wrappers, weights exactly masked."""
    plain = rebuild(model, lambda layer: copy_layer(unwrapped_layer(layer), weight_precision(unwrapped_layer(layer))))
    weights = prunable_weights(plain)
    for path, mask in current_masks(model).items():
        # Whatever was written into the kernel, the network computes with the masked one.
        weights[path].assign(tf.where(mask > 0, weights[path], tf.zeros_like(weights[path])))
    for part in plain.submodules:  # layers of ghosts may hold one of the network's, in its wrapper
        held = getattr(part, "layer", None)
        if held is not None and is_pruning_wrapper(held) and not is_pruning_wrapper(part):
            held.apply_mask()
            part.layer = held.layer
    return plain


def _wrapper() -> type[FixedMask]:
    from tost_tf.masks.wrapper import FixedMask  # imports TensorFlow, which the options of masks do not need

    return FixedMask
