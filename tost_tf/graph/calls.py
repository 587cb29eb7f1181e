"""The calls of layers that a functional or Sequential model is made of."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import call_arguments, graph_nodes, keras_mask, training_argument


class Call:
    """One call of a layer.

    Args:
      node: one of `graph_nodes`.

    Attributes:
      layer: the layer that is called.
      inputs, outputs: keys of tensors, in the order of the arguments.
      output_shapes: of each output, including the batch.
    """

    def __init__(self, node):
        self._node = node
        self.layer: keras.layers.Layer = node.layer
        self.inputs = [str(key) for key in node.flat_input_ids]
        self.outputs = [str(key) for key in node.flat_output_ids]
        self.output_shapes = [tuple(tensor.shape) for tensor in self.output_tensors]

    def arguments(self, tensors: dict[str, tf.Tensor]) -> tuple[tuple, dict]:
        """The arguments of the call, its tensors replaced by those under their keys."""
        return call_arguments(self._node, tensors)

    @property
    def output_tensors(self) -> list[tf.Tensor]:
        """The symbolic tensors the call returned."""
        return tf.nest.flatten(self._node.outputs)

    @property
    def input_tensors(self) -> list[tf.Tensor]:
        """The symbolic tensors that are arguments of the call."""
        return list(self._node.keras_inputs)

    @property
    def other_arguments(self) -> list:
        """The arguments that are not tensors of the graph: numbers, names, constant tensors, ..."""
        every = tf.nest.flatten((self._node.call_args, self._node.call_kwargs))
        return [value for value in every if not (tf.is_tensor(value) and keras.backend.is_keras_tensor(value))]

    @property
    def training(self) -> Any:
        """The argument `training` of the call, by name or by position; `None` if it is not given."""
        return training_argument(self._node)[1]

    @property
    def is_for_training(self) -> bool:
        """Whether the call has `training=True` (or a tensor), so it is not inference."""
        return self.training is not None and self.training is not False

    @property
    def is_masked(self) -> bool:
        """Whether a Keras mask goes into the call or comes out of it."""
        tensors = (*self._node.keras_inputs, *self.output_tensors)
        return any(keras_mask(tensor) is not None for tensor in tensors)


def calls(model: keras.Model) -> list[Call]:
    """The calls in `model`'s graph, without inputs, each after those it depends on."""
    return [Call(node) for node in graph_nodes(model)]


def keys(tensors: list[tf.Tensor]) -> list[str]:
    """The keys of a model's inputs or outputs in its calls."""
    return [str(id(tensor)) for tensor in tensors]
