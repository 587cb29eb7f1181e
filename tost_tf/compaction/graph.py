"""A model as a flat list of calls of layers."""

import dataclasses
from typing import Any

from tost_tf.compat import call_arguments, graph_nodes, is_graph_model, keras, require_graph_model, tf
from tost_tf.models.copy import copy_graph, copy_layer


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: its shape with the batch, and the axis its channels are on (from the end)."""

    key: str
    shape: tuple[int | None, ...]
    axis: int = -1

    @property
    def channels(self) -> int:
        """How many channels there are, 0 where that is not known or there is no such axis."""
        return (self.shape[self.axis] or 0) if len(self.shape) > -self.axis else 0


class Call:
    """One call of a layer.

    Args:
      node: one of `graph_nodes`.

    Attributes:
      layer: what is called.
      inputs, outputs: keys of tensors, in the order of the arguments.
      output_shapes: with the batch, by output.
    """

    def __init__(self, node):
        self._node = node
        self.layer = node.layer
        self.inputs = [str(key) for key in node.flat_input_ids]
        self.outputs = [str(key) for key in node.flat_output_ids]
        self.output_shapes = [tuple(tensor.shape) for tensor in tf.nest.flatten(node.outputs)]

    def arguments(self, tensors: dict[str, tf.Tensor]) -> tuple[tuple, dict]:
        """The arguments of the call, its tensors replaced by those under their keys."""
        return call_arguments(self._node, tensors)

    @property
    def other_arguments(self) -> list:
        """What the call is given beside tensors of the graph: numbers, names, constant tensors, ..."""
        every = tf.nest.flatten((self._node.call_args, self._node.call_kwargs))
        return [value for value in every if not (tf.is_tensor(value) and keras.backend.is_keras_tensor(value))]

    @property
    def is_for_training(self) -> bool:
        """Whether the call says `training=True` (or a tensor), so that it is no inference."""
        return _is_for_training(self._node)

    @property
    def is_masked(self) -> bool:
        """Whether a Keras mask goes into the call or comes out of it."""
        tensors = (*self._node.keras_inputs, *tf.nest.flatten(self._node.outputs))
        return any(getattr(tensor, "_keras_mask", None) is not None for tensor in tensors)


class Graph:
    """The calls of a functional or Sequential model whose nested models are flattened.

    Attributes:
      model: the flat model, whose layers the calls hold.
      calls: in an order in which each comes after those it depends on.
      inputs, outputs: keys of the model's tensors.
      input_shapes: by input.
    """

    def __init__(self, model: keras.Model):
        self.model = flattened(model)
        self.calls = [Call(node) for node in graph_nodes(self.model)]
        self.inputs = [str(id(tensor)) for tensor in self.model.inputs]
        self.outputs = [str(id(tensor)) for tensor in self.model.outputs]
        self.input_shapes = [tuple(tensor.shape) for tensor in self.model.inputs]


def flattened(model: keras.Model) -> keras.Model:
    """`model` itself if no model is nested in it, else a copy in which the layers of those stand in its own graph.

    A nested model that is called for training, or with a mask, stays one. Layers of one that is called with
    `training=False` are called so each. Layers of `model` itself and its outputs keep their names.

    Raises:
      TostError: it is no functional or Sequential model.
    """
    require_graph_model(model)
    if not any(is_graph_model(layer) for layer in model.layers):
        return model
    copied = copy_graph(model, copy_layer)
    taken = {layer.name: layer for layer in copied.layers if not is_graph_model(layer)}

    def unique(layer: keras.layers.Layer, prefix: str) -> keras.layers.Layer:
        while taken.setdefault(layer.name, layer) is not layer:
            layer._name = f"{prefix}_{layer.name}"
        return layer

    def walk(network: keras.Model, inputs: list[tf.Tensor], training: bool | None) -> list[tf.Tensor]:
        tensors = {str(id(old)): new for old, new in zip(network.inputs, inputs, strict=True)}
        for node in graph_nodes(network):
            arguments, keywords = call_arguments(node, tensors)
            given = [value for value in tf.nest.flatten((arguments, keywords)) if tf.is_tensor(value)]
            mode = training if _training(node) is None else _training(node)
            if is_graph_model(node.layer) and not _is_for_training(node) and len(given) == len(node.layer.inputs):
                outputs = walk(node.layer, given, mode)
            else:
                arguments, keywords = _with_training(node.layer, mode, arguments, keywords)
                outputs = unique(node.layer, network.name)(*arguments, **keywords)
            tensors |= dict(zip(node.flat_output_ids, tf.nest.flatten(outputs), strict=True))
        return [tensors[str(id(tensor))] for tensor in network.outputs]

    inputs = tf.nest.map_structure(same_input, copied.input)
    outputs = walk(copied, tf.nest.flatten(inputs), None)
    flat = keras.Model(inputs, tf.nest.pack_sequence_as(copied.output, outputs), name=model.name)
    return with_output_names(flat, output_layer_names(model))


def _training(node) -> Any:
    """What the call says of `training`, by name or by position; `None` where it says nothing."""
    specification = node.layer._call_spec
    if not specification.arg_was_passed("training", node.call_args, node.call_kwargs, inputs_in_args=True):
        return None
    return specification.get_arg_value("training", node.call_args, node.call_kwargs, inputs_in_args=True)


def _is_for_training(node) -> bool:
    value = _training(node)
    return value is not None and value is not False


def _with_training(layer: keras.layers.Layer, training: bool | None, arguments: tuple, keywords: dict) -> tuple:
    """The arguments of a call with `training`, where that is known and the layer (no bare operation) takes it."""
    if training is None or hasattr(layer, "symbol") or not layer._call_spec.expects_training_arg:
        return arguments, keywords
    return layer._call_spec.set_arg_value("training", training, arguments, dict(keywords), inputs_in_args=True)


def with_output_names(model: keras.Model, names: list[str]) -> keras.Model:
    """`model` itself, or where outputs come from other layers than those named, each behind an identity of that name
    (unless a layer that stays has it)."""
    taken = {layer.name for layer in model.layers}
    outputs = []
    for layer, tensor, name in zip(model._output_layers, model.outputs, names, strict=True):
        if layer.name != name and name not in taken:
            tensor = keras.layers.Activation("linear", name=name, dtype=tensor.dtype)(tensor)
            taken.add(name)
        outputs.append(tensor)
    if all(new is old for new, old in zip(outputs, model.outputs, strict=True)):
        return model
    return keras.Model(model.input, tf.nest.pack_sequence_as(model.output, outputs), name=model.name)


def output_layer_names(model: keras.Model) -> list[str]:
    """The name of the layer that gives each output."""
    return [layer.name for layer in model._output_layers]


def same_input(tensor: tf.Tensor) -> tf.Tensor:
    """A fresh input of a model with the shape, type and name of another."""
    return keras.Input(tensor.shape[1:], tensor.shape[0], tensor._keras_history.layer.name, tensor.dtype)
