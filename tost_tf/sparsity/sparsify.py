"""From a dense model and its masks to a sparse model, and back to a plain one."""

from collections.abc import Callable

from tost_tf.compat import PruneLowMagnitude, is_graph_model, keras, require_graph_model
from tost_tf.masks.mask import Masks
from tost_tf.masks.prunable import kernel_name, prunable_layers, prunable_weights
from tost_tf.sparsity.fixed_mask import FixedMask


def sparsify(model: keras.Model, masks: Masks) -> keras.Model:
    """A copy of `model` in which every prunable layer is wrapped in a `FixedMask`, with the same weights, masked.

    Args:
      model: a functional or Sequential tf_keras model; it is left as it is.
      masks: a mask for every prunable weight of `model`.

    Raises:
      TostError: `model` is of another kind, or the masks are not those of its weights.
    """
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    masks.require_match(shapes, f"the model {model.name!r}")
    sparse = copy_graph(model, lambda layer: FixedMask(copy_layer(layer)) if kernel_name(layer) else copy_layer(layer))
    for path, wrapper in prunable_layers(sparse):
        wrapper.set_mask(masks[f"{path}/{wrapper.kernel_name}"])
    return sparse


def masks_of(model: keras.Model) -> Masks:
    """The masks a model made by `sparsify` holds."""
    wrappers = ((path, layer) for path, layer in prunable_layers(model) if isinstance(layer, FixedMask))
    return Masks({f"{path}/{wrapper.kernel_name}": wrapper.mask.numpy() for path, wrapper in wrappers})


def unwrapped(model: keras.Model) -> keras.Model:
    """A plain copy of a sparse model: the layers, names and config of the model given to `sparsify`, masked weights.

    Unlike tensorflow-model-optimization's `strip_pruning`, which also works, the copy shares no layer with `model`,
    and no constraint stays on its kernels.
    """
    return copy_graph(model, lambda layer: copy_layer(_inside(layer)))


def copy_graph(model: keras.Model, copy: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """A copy of a graph model, its layers made by `copy`, nested models copied likewise, with the same weights."""

    def copy_any(layer: keras.layers.Layer) -> keras.layers.Layer:
        return copy_graph(layer, copy) if is_graph_model(layer) else copy(layer)

    require_graph_model(model)
    result = keras.models.clone_model(model, clone_function=copy_any)
    result.trainable = model.trainable
    for old, new in zip(model.layers, result.layers, strict=True):
        if not is_graph_model(old):
            _inside(new).set_weights(_inside(old).get_weights())
            _inside(new).trainable = _inside(old).trainable
    return result


def copy_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A fresh layer with the same config."""
    return type(layer).from_config(layer.get_config())


def _inside(layer: keras.layers.Layer) -> keras.layers.Layer:
    return layer.layer if isinstance(layer, PruneLowMagnitude) else layer
