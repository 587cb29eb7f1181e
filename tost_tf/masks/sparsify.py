"""From a dense model and its masks to a sparse model, and back to a plain one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tost_tf.compat import is_pruning_wrapper, keras, own_steps, tf
from tost_tf.errors import TostError
from tost_tf.graph.copy import copy_layer, unwrapped_layer
from tost_tf.graph.kernels import current_masks, is_prunable, prunable_layers, prunable_weights
from tost_tf.graph.precision import weight_precision
from tost_tf.graph.rebuild import rebuild
from tost_tf.masks.masks import Masks

if TYPE_CHECKING:
    from tost_tf.masks.wrapper import FixedMask, MaskedKernel


def sparsify(model: keras.Model, masks: Masks) -> keras.Model:
    """A copy of `model` in which each prunable layer is wrapped in a `FixedMask`, with the same weights, masked.

    It has the same class, including an overridden `train_step`; if that is not possible, a warning is logged.

    Args:
      model: a functional or Sequential tf_keras model; it is not changed.
      masks: a mask for each prunable weight of `model`.

    Raises:
      TostError: `model` is of another kind, or the masks do not fit its weights.
    """
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


def require_stripped(model: object) -> None:
    """Raises `TostError` if a model still has masks or ghosts."""
    wrapped = any(is_pruning_wrapper(layer) for layer in getattr(model, "submodules", ()))
    if wrapped or hasattr(model, "remove_ghosts"):
        raise TostError(f"{model.name} still has its masks or ghosts: call `tost_tf.strip` first")


def masks_of_zeros(model: keras.Model) -> Masks:
    """The masks that keep the non-zero prunable weights of a plain model."""
    return Masks({path: weight.numpy() != 0 for path, weight in prunable_weights(model).items()})


def strip(model: keras.Model) -> keras.Model:
    """The plain tf_keras model without masks and ghosts: layers, names and config of the original, weights masked.

    Layers with mixed precision get the precision of their weights, which is float32. The weights are the same as with
    tensorflow-model-optimization's `strip_pruning`, but the copy shares no layer with `model`.

    Args:
      model: a model made by `sparsify`, or a `GhostModel`.

    Raises:
      TostError: `model` is neither, nor a functional or Sequential model.
    """
    return without_wrappers(getattr(model, "plain", model))


def without_wrappers(model: keras.Model) -> keras.Model:
    """A copy of a model made by `sparsify`, or of a view of it, without pruning wrappers, weights exactly masked."""
    plain = rebuild(model, lambda layer: copy_layer(unwrapped_layer(layer), weight_precision(unwrapped_layer(layer))))
    weights = prunable_weights(plain)
    for path, mask in current_masks(model).items():
        # Whatever was written into the kernel, the network computes with the masked one.
        weights[path].assign(tf.where(mask > 0, weights[path], tf.zeros_like(weights[path])))
    return plain


def _wrapper() -> type[FixedMask]:
    from tost_tf.masks.wrapper import FixedMask  # imports TensorFlow, which the options of masks do not need

    return FixedMask
