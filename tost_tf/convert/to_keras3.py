"""A tf_keras model as a Keras 3 model."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras, keras3, tf
from tost_tf.compat.graphs import call_arguments, graph_nodes, is_graph_model, require_graph_model
from tost_tf.convert.arguments import by_meaning
from tost_tf.convert.layer import Direction, copy_weights
from tost_tf.convert.operations import TO_KERAS3
from tost_tf.graph.copy import graph_model_in
from tost_tf.graph.stripped import require_stripped


def to_keras3(model: keras.Model) -> Any:
    """A functional or Sequential tf_keras model rebuilt in Keras 3: same layers, names, options, weights, outputs.

    Args:
      model: usually from `strip`.

    Raises:
      TostError: it is of another kind, or a layer or operation has no counterpart in Keras 3.
    """
    return _converted(model, Direction(keras, keras3(), to_keras3=True))


def _converted(model: keras.Model, direction: Direction) -> Any:
    require_stripped(model)
    require_graph_model(model)
    return _sequential(model, direction) if isinstance(model, keras.Sequential) else _functional(model, direction)


def _sequential(model: keras.Sequential, direction: Direction) -> Any:
    keras_3 = direction.target
    shape = tuple(model.inputs[0].shape)
    layers = [_layer(layer, direction) for layer in model.layers]
    new = keras_3.Sequential(
        [keras_3.Input(shape[1:], shape[0], dtype=model.inputs[0].dtype.name), *layers], name=model.name
    )
    for layer, new_layer in zip(model.layers, layers, strict=True):
        if graph_model_in(layer) is None:
            copy_weights(layer, new_layer)
    return new


def _functional(model: keras.Model, direction: Direction) -> Any:
    keras_3 = direction.target
    tensors, layers = {}, {}
    for tensor in model.inputs:
        shape = tuple(tensor.shape)
        name = tensor._keras_history.layer.name
        tensors[str(id(tensor))] = keras_3.Input(shape[1:], shape[0], dtype=tensor.dtype.name, name=name)
    inputs = _repacked(model.input, [tensors[str(id(tensor))] for tensor in model.inputs])
    for node in graph_nodes(model):
        arguments, keywords = call_arguments(node, tensors)
        keywords = {key: value for key, value in keywords.items() if value is not None and key != "name"}
        layer = node.layer
        symbol = getattr(layer, "symbol", None)
        if symbol is not None:
            if symbol not in TO_KERAS3:
                raise direction.no_counterpart(layer.name, f"the operation {symbol}")
            try:
                outputs = getattr(keras_3.ops, TO_KERAS3[symbol])(*arguments, **keywords)
            except (TypeError, ValueError) as error:
                raise direction.not_called(layer.name, symbol, error) from None
        else:
            if layer.name not in layers:
                layers[layer.name] = (layer, _layer(layer, direction))
            arguments, keywords = by_meaning(layer, arguments, keywords)
            try:
                outputs = layers[layer.name][1](*arguments, **keywords)
            except (TypeError, ValueError) as error:
                raise direction.not_called(layer.name, type(layer).__name__, error) from None
        tensors |= dict(zip(node.flat_output_ids, tf.nest.flatten(outputs), strict=True))
    outputs = _repacked(model.output, [tensors[str(id(tensor))] for tensor in model.outputs])
    new = keras_3.Model(inputs, outputs, name=model.name)
    for layer, new_layer in layers.values():
        if graph_model_in(layer) is None:
            copy_weights(layer, new_layer)
    if not model.trainable:
        new.trainable = False  # for all its layers; True would also unfreeze frozen ones
    return new


def _layer(layer: keras.layers.Layer, direction: Direction) -> Any:
    def make(layer: keras.layers.Layer) -> Any:
        if is_graph_model(layer):
            return _converted(layer, direction)
        return direction.counterpart(layer, lambda model: _converted(model, direction))

    return direction.once(layer, make)


def _repacked(structure: Any, flat: list) -> Any:
    """The tensors in the structure of the model's inputs or outputs (one tensor, a list, a dictionary)."""
    return tf.nest.pack_sequence_as(structure, flat)
