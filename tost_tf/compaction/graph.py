"""A model as a flat list of calls of layers."""

from __future__ import annotations

import dataclasses

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import is_graph_model, output_layers, require_graph_model, with_training
from tost_tf.compat.layers import rename
from tost_tf.graph.calls import Call, calls, keys
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.rebuild import Replay, Tensors, rebuild


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: its shape, batch included, and the axis of its channels (counted from the end)."""

    key: str
    shape: tuple[int | None, ...]
    axis: int = -1

    @property
    def channels(self) -> int:
        """The number of channels, 0 if it is not known or there is no such axis."""
        return (self.shape[self.axis] or 0) if len(self.shape) > -self.axis else 0


class Graph:
    """The calls of a functional or Sequential model whose nested models are flattened.

    Attributes:
      source: the model, or its copy if it has nested models; the calls refer to its layers.
      model: the flat model.
      calls: in topological order: each comes after those it depends on.
      inputs, outputs: keys of the model's tensors.
      input_shapes: by input.
    """

    def __init__(self, model: keras.Model):
        require_graph_model(model)
        has_nested = any(is_graph_model(layer) for layer in model.layers)
        self.source = rebuild(model, copy_layer) if has_nested else model
        self.model = flattened(self.source) if has_nested else model
        self.calls = calls(self.model)
        self.inputs, self.outputs = keys(self.model.inputs), keys(self.model.outputs)
        self.input_shapes = [tuple(tensor.shape) for tensor in self.model.inputs]


def flattened(model: keras.Model) -> keras.Model:
    """A model of the layers of `model` and of its nested models in one graph; layers of nested ones may be renamed.

    A nested model that is called for training, or with a mask, stays nested. If it is called with `training=False`,
    so is each of its layers. Layers of `model` itself and its outputs keep their names.
    """
    names = [layer.name for layer in output_layers(model)]
    return with_output_names(_Flat(model).model(model), names)


class _Flat(Replay):
    """Calls the layers of nested models in the graph of the outermost model, under unique names."""

    def __init__(self, model: keras.Model):
        super().__init__()
        self._taken = {layer.name: layer for layer in model.layers if not is_graph_model(layer)}
        self._network, self._mode = model, None

    def call(self, call: Call, tensors: Tensors) -> tf.Tensor | list[tf.Tensor]:
        arguments, keywords = call.arguments(tensors)
        given = [value for value in tf.nest.flatten((arguments, keywords)) if tf.is_tensor(value)]
        mode = self._mode if call.training is None else call.training
        if is_graph_model(call.layer) and not call.is_for_training and len(given) == len(call.layer.inputs):
            return self._inlined(call.layer, given, mode)
        if mode is not None:
            arguments, keywords = with_training(call.layer, mode, arguments, keywords)
        return self._uniquely_named(call.layer)(*arguments, **keywords)

    def _inlined(self, network: keras.Model, inputs: list[tf.Tensor], mode: bool | None) -> list[tf.Tensor]:
        outer = self._network, self._mode
        self._network, self._mode = network, mode
        tensors = self.replay(network, inputs)
        self._network, self._mode = outer
        return [tensors[key] for key in keys(network.outputs)]

    def _uniquely_named(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        while self._taken.setdefault(layer.name, layer) is not layer:
            rename(layer, f"{self._network.name}_{layer.name}")
        return layer


def with_output_names(model: keras.Model, names: list[str]) -> keras.Model:
    """`model` with these output names: an output of a layer with another name is followed by an identity layer of the
    right name, unless another layer has that name. If nothing has to change, `model` itself."""
    taken = {layer.name for layer in model.layers}
    outputs = []
    for layer, tensor, name in zip(output_layers(model), model.outputs, names, strict=True):
        if layer.name != name and name not in taken:
            tensor = keras.layers.Activation("linear", name=name, dtype=tensor.dtype)(tensor)
            taken.add(name)
        outputs.append(tensor)
    if all(new is old for new, old in zip(outputs, model.outputs, strict=True)):
        return model
    return keras.Model(model.input, tf.nest.pack_sequence_as(model.output, outputs), name=model.name)
