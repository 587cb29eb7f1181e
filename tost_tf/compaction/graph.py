"""A model as a flat list of calls of layers."""

import dataclasses

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

    Raises:
      TostError: it is no functional or Sequential model.
    """
    require_graph_model(model)
    if not any(is_graph_model(layer) for layer in model.layers):
        return model
    copied = copy_graph(model, copy_layer)
    taken: dict[str, keras.layers.Layer] = {}

    def unique(layer: keras.layers.Layer, prefix: str) -> keras.layers.Layer:
        while taken.setdefault(layer.name, layer) is not layer:
            layer._name = f"{prefix}_{layer.name}"
        return layer

    def walk(network: keras.Model, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        tensors = {str(id(old)): new for old, new in zip(network.inputs, inputs, strict=True)}
        for node in graph_nodes(network):
            arguments, keywords = call_arguments(node, tensors)
            if is_graph_model(node.layer) and not _is_for_training(node):
                given = [value for value in tf.nest.flatten((arguments, keywords)) if tf.is_tensor(value)]
                outputs = walk(node.layer, given)
            else:
                outputs = unique(node.layer, network.name)(*arguments, **keywords)
            tensors |= dict(zip(node.flat_output_ids, tf.nest.flatten(outputs), strict=True))
        return [tensors[str(id(tensor))] for tensor in network.outputs]

    inputs = tf.nest.map_structure(same_input, copied.input)
    outputs = walk(copied, tf.nest.flatten(inputs))
    return keras.Model(inputs, tf.nest.pack_sequence_as(copied.output, outputs), name=model.name)


def _is_for_training(node) -> bool:
    return node.call_kwargs.get("training") not in (None, False)


def same_input(tensor: tf.Tensor) -> tf.Tensor:
    """A fresh input of a model with the shape, type and name of another."""
    return keras.Input(tensor.shape[1:], tensor.shape[0], tensor._keras_history.layer.name, tensor.dtype)
