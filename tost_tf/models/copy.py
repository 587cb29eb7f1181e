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
    fresh = type(layer).from_config(config)
    if callable(getattr(layer, "activation", None)):
        fresh.activation = layer.activation  # the config has its name only, which may be that of another function
    return fresh


def inside(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer in a pruning wrapper, any other layer itself."""
    return layer.layer if isinstance(layer, PruneLowMagnitude) else layer
