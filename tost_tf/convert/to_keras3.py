"""A tf_keras model as a Keras 3 model."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras, keras3, tf
from tost_tf.compat.graphs import (
    call_arguments,
    graph_nodes,
    is_graph_model,
    is_operation,
    layer_of,
    require_graph_model,
)
from tost_tf.compat.keras3_graphs import name_operation
from tost_tf.convert.arguments import by_meaning
from tost_tf.convert.layer import Direction, copy_weights
from tost_tf.convert.masks_to_keras3 import called_with_masks
from tost_tf.convert.merges import require_same_masks_in_row
from tost_tf.convert.names import LegalNames
from tost_tf.convert.operations import TO_KERAS3
from tost_tf.errors import TostError
from tost_tf.graph.copy import graph_model_in
from tost_tf.graph.stripped import require_stripped


def to_keras3(model: keras.Model) -> Any:
    """A functional or Sequential tf_keras model rebuilt in Keras 3: same layers, names, options, weights, outputs.

    Names have `_` for each `/`, which Keras 3 has in no name.

    Args:
      model: usually from `strip`.

    Raises:
      TostError: it is of another kind, or a layer or operation has no counterpart in Keras 3.
    """
    require_stripped(model)
    require_graph_model(model)
    return _converted(model, Direction(keras, keras3(), to_keras3=True), LegalNames(model))


def _converted(model: keras.Model, direction: Direction, names: LegalNames) -> Any:
    require_graph_model(model)
    convert = _sequential if isinstance(model, keras.Sequential) else _functional
    try:
        return convert(model, direction, names)
    except TostError:
        raise
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        raise TostError(f"the model {model.name!r} cannot be made in Keras 3: {reason}") from None


def _sequential(model: keras.Sequential, direction: Direction, names: LegalNames) -> Any:
    require_same_masks_in_row(model)
    keras_3 = direction.target
    shape = tuple(model.inputs[0].shape)
    layers = [_layer(layer, direction, names) for layer in model.layers]
    new = keras_3.Sequential(
        [keras_3.Input(shape[1:], shape[0], dtype=model.inputs[0].dtype.name), *layers], name=names.of(model.name)
    )
    for layer, new_layer in zip(model.layers, layers, strict=True):
        if graph_model_in(layer) is None:
            copy_weights(layer, new_layer)
    return new


def _functional(model: keras.Model, direction: Direction, names: LegalNames) -> Any:
    keras_3 = direction.target
    tensors, layers = {}, {}
    for tensor in model.inputs:
        shape = tuple(tensor.shape)
        name = names.of(layer_of(tensor).name)
        tensors[str(id(tensor))] = keras_3.Input(shape[1:], shape[0], dtype=tensor.dtype.name, name=name)
    inputs = _repacked(model.input, [tensors[str(id(tensor))] for tensor in model.inputs])
    for node in graph_nodes(model):
        arguments, keywords = call_arguments(node, tensors)
        keywords = {key: value for key, value in keywords.items() if value is not None and key != "name"}
        layer = node.layer
        if is_operation(layer):
            outputs = _computed(layer, arguments, keywords, direction, names)
        else:
            if layer.name not in layers:
                layers[layer.name] = (layer, _layer(layer, direction, names))
            outputs = _returned(node, layers[layer.name][1], arguments, keywords, direction)
        tensors |= dict(zip(node.flat_output_ids, tf.nest.flatten(outputs), strict=True))
    outputs = _repacked(model.output, [tensors[str(id(tensor))] for tensor in model.outputs])
    new = keras_3.Model(inputs, outputs, name=names.of(model.name))
    for layer, new_layer in layers.values():
        if graph_model_in(layer) is None:
            copy_weights(layer, new_layer)
    if not model.trainable:
        new.trainable = False  # for all its layers; True would also unfreeze frozen ones
    return new


def _computed(operation: Any, arguments: tuple, keywords: dict, direction: Direction, names: LegalNames) -> Any:
    name, symbol = operation.name, operation.symbol
    if symbol not in TO_KERAS3:
        raise direction.no_counterpart(name, f"the operation {symbol}")
    if symbol.startswith("math.logical") and "y" in keywords:
        arguments = (*arguments, keywords.pop("y"))  # TensorFlow keeps it by this name, however it was given
    try:
        outputs = getattr(direction.target.ops, TO_KERAS3[symbol])(*arguments, **keywords)
    except (TypeError, ValueError) as error:
        raise direction.not_called(name, symbol, error) from None
    name_operation(outputs, names.of(name))  # Keras 3 gives it a name that a layer may have
    return outputs


def _returned(node: Any, new_layer: Any, arguments: tuple, keywords: dict, direction: Direction) -> Any:
    layer = node.layer
    arguments, keywords = by_meaning(layer, arguments, keywords)
    try:
        return called_with_masks(node, new_layer, arguments, keywords, direction)
    except TostError:
        raise
    except (TypeError, ValueError) as error:
        raise direction.not_called(layer.name, type(layer).__name__, error) from None


def _layer(layer: keras.layers.Layer, direction: Direction, names: LegalNames) -> Any:
    def make(layer: keras.layers.Layer) -> Any:
        if is_graph_model(layer):
            return _converted(layer, direction, names)
        return direction.counterpart(layer, lambda model: _converted(model, direction, names), names.of(layer.name))

    return direction.once(layer, make)


def _repacked(structure: Any, flat: list) -> Any:
    """The tensors in the structure of the model's inputs or outputs (one tensor, a list, a dictionary)."""
    return tf.nest.pack_sequence_as(structure, flat)
