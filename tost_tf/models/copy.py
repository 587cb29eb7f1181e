"""Copies of graph models, layer by layer."""

from collections.abc import Callable
from typing import Any

from tost_tf.compat import PruneLowMagnitude, is_graph_model, keras, require_graph_model


def copy_graph(model: keras.Model, copy: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """A copy of a graph model, its layers made by `copy`, nested models copied likewise, with the same weights.

    Args:
      model: a functional or Sequential tf_keras model.
      copy: from a layer to a fresh one; it may add a pruning wrapper or take one away.

    Raises:
      TostError: `model` is of another kind.
    """

    def copy_any(layer: keras.layers.Layer) -> keras.layers.Layer:
        return copy_graph(layer, copy) if is_graph_model(layer) else copy(layer)

    require_graph_model(model)
    result = keras.models.clone_model(model, clone_function=copy_any)
    if not model.trainable:
        result.trainable = False  # for all it holds; True would also unfreeze what is frozen inside
    for old, new in zip(model.layers, result.layers, strict=True):
        if not is_graph_model(old):
            if inside(new).weights:  # a stand-in may have none
                inside(new).set_weights(inside(old).get_weights())
            inside(new).trainable = inside(old).trainable
    return result


def copy_layer(layer: keras.layers.Layer, precision: str | None = None, **changes: Any) -> keras.layers.Layer:
    """A fresh layer with the same config but for what is changed; a precision is a Keras dtype policy's name."""
    config = layer.get_config() | changes | ({"dtype": precision} if precision else {})
    if changes:
        config.pop("batch_input_shape", None)  # of the layer as it was
    # The config has the names of functions only, which may be those of others; some cannot be read back at all.
    functions = _functions(layer)
    config |= {name: "linear" for name in functions if name in config and not isinstance(config[name], str)}
    fresh = type(layer).from_config(config)
    for name, function in functions.items():
        if getattr(_owner(fresh), name) is not function:
            setattr(_owner(fresh), name, function)
    return fresh


def _functions(layer: keras.layers.Layer) -> dict[str, Callable]:
    """The activations of a layer that are functions, not layers of their own."""
    found = {name: getattr(_owner(layer), name, None) for name in ("activation", "recurrent_activation")}
    return {
        name: value for name, value in found.items() if callable(value) and not isinstance(value, keras.layers.Layer)
    }


def _owner(layer: keras.layers.Layer) -> keras.layers.Layer:
    """What holds the activations: the cell of a recurrent layer."""
    return getattr(layer, "cell", layer)


def inside(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer in a pruning wrapper, any other layer itself."""
    return layer.layer if isinstance(layer, PruneLowMagnitude) else layer
