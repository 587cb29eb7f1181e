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
    """A copy of `model` in which every prunable layer is wrapped in a `FixedMask`, with the same weights, masked.

    It is of the same class, with a `train_step` of its own if that has one; where that cannot be, it is logged.

    Args:
      model: a functional or Sequential tf_keras model; it is left as it is.
      masks: a mask for every prunable weight of `model`.

    Raises:
      TostError: `model` is of another kind, or the masks are not those of its weights.
    """
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    masks = masks.for_weights(shapes)
    masks.require_match(shapes, f"the model {model.name!r}")
    wrapper = _wrapper()
    sparse = rebuild(model, lambda layer: wrapper(copy_layer(layer)) if is_prunable(layer) else copy_layer(layer))
    lost = [name for name in own_steps(model) if name not in own_steps(sparse)]
    if lost:
        logging.warning(
            "%s has a %s of its own, which its sparse copy has not, as the class is not made from (inputs, outputs)",
            type(model).__name__,
            " and a ".join(lost),
        )
    for path, masked in masked_kernels(sparse).items():
        masked.set_mask(masks[path])
    return sparse


def masked_kernels(model: keras.Model) -> dict[str, MaskedKernel]:
    """Weight path -> the kernel and the mask it has in a wrapper, of a model made by `sparsify`."""
    wrappers = ((path, layer) for path, layer in prunable_layers(model) if isinstance(layer, _wrapper()))
    return {f"{path}/{name}": masked for path, layer in wrappers for name, masked in layer.masked_kernels.items()}


def with_dense_gradients(model: keras.Model) -> list[tf.Variable]:
    """Lets the pruned weights of a model made by `sparsify` get the gradient they would have without a mask.

    To be called before a training step is traced. Gives the kernels, for an optimizer that masks its steps
    (`MaskedOptimizer.keep_gradients`).
    """
    for _, layer in prunable_layers(model):
        if isinstance(layer, _wrapper()):
            layer.dense_gradients = True
    return [masked.kernel for masked in masked_kernels(model).values()]


def masks_of(model: keras.Model) -> Masks:
    """The masks a model made by `sparsify` holds."""
    return Masks(current_masks(model))


def require_stripped(model: object) -> None:
    """Raises `TostError` if masks or ghosts are still in a model."""
    wrapped = any(is_pruning_wrapper(layer) for layer in getattr(model, "submodules", ()))
    if wrapped or hasattr(model, "remove_ghosts"):
        raise TostError(f"{model.name} still has its masks or ghosts in it: give it to `tost_tf.strip` first")


def masks_of_zeros(model: keras.Model) -> Masks:
    """The masks of the prunable weights of a plain model that are not zero."""
    return Masks({path: weight.numpy() != 0 for path, weight in prunable_weights(model).items()})


def strip(model: keras.Model) -> keras.Model:
    """The plain tf_keras model that is left: the original's layers, names and config, weights exactly masked.

    Layers of mixed precision become those of the precision their weights have, which is float32. Unlike
    tensorflow-model-optimization's `strip_pruning`, which gives the same weights, the copy shares no layer with
    `model`.

    Args:
      model: a model made by `sparsify`, or a `GhostModel`, whose ghosts are forgotten.

    Raises:
      TostError: `model` is neither, nor a functional or Sequential model.
    """
    return without_wrappers(getattr(model, "plain", model))


def without_wrappers(model: keras.Model) -> keras.Model:
    """A copy of a model made by `sparsify`, or of a view of it, without pruning wrappers, weights exactly masked."""
    plain = rebuild(model, lambda layer: copy_layer(unwrapped_layer(layer), weight_precision(unwrapped_layer(layer))))
    weights = prunable_weights(plain)
    for path, mask in current_masks(model).items():
        # Whatever was written into the kernel, the network computed with the masked one.
        weights[path].assign(tf.where(mask > 0, weights[path], tf.zeros_like(weights[path])))
    return plain


def _wrapper() -> type[FixedMask]:
    from tost_tf.masks.wrapper import FixedMask  # TensorFlow comes with it, which the options of a mask do without

    return FixedMask
