"""Repeats the calls of a graph model: for copies, ghosted views, flattened and smaller models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import (
    include_calls,
    is_graph_model,
    is_operation,
    layer_of,
    layers_in_row,
    require_graph_model,
    takes_functional_arguments,
)
from tost_tf.compat.layers import copy_trainable
from tost_tf.compat.losses import added_functions
from tost_tf.errors import TostError
from tost_tf.graph.calls import Call, calls, keys
from tost_tf.graph.copy import graph_model_in, unwrapped_layer, with_layer

Tensors = dict[str, "tf.Tensor"]


class Replay:
    """Repeats the calls of a graph model, in order, to build a new model.

    A subclass says which layer stands in for which (`new_layer`) and how a call is made (`call`). A layer, or nested
    model, that is called several times has one stand-in, whichever models it is called in. Names of layers, inputs and
    models, the structure of inputs and outputs, losses and metrics added as tensors, Keras masks and the flag
    `trainable` of each model are carried over.
    """

    def __init__(self):
        self._stand_ins: dict[int, tuple[keras.layers.Layer, keras.layers.Layer]] = {}

    def new_layer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """The stand-in for a layer that is not a graph model; called once for each layer."""
        return layer

    def call(self, call: Call, tensors: Tensors) -> Any:
        """Makes a call again.

        Args:
          call: of the old model.
          tensors: the new tensors by the keys of the old ones.

        Returns:
          The new outputs, in the structure of the old ones; `None` leaves the call out.
        """
        arguments, keywords = call.arguments(tensors)
        return self.layer(call.layer)(*arguments, **keywords)

    def layer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """The stand-in for a layer or a nested model, also for a model that is called at each step of a sequence."""
        if id(layer) not in self._stand_ins:
            if is_graph_model(layer):
                new = self.model(layer)
            elif graph_model_in(layer) is not None:
                new = with_layer(layer, self.layer(graph_model_in(layer)))
            else:
                new = self.new_layer(layer)
            self._stand_ins[id(layer)] = (layer, new)
        return self._stand_ins[id(layer)][1]

    def model(self, model: keras.Model) -> keras.Model:
        """The new model, functional."""
        inputs = self.inputs(model)
        tensors = self.replay(model, tf.nest.flatten(inputs))
        outputs = tf.nest.pack_sequence_as(model.output, [tensors[key] for key in keys(model.outputs)])
        new = self.kind(model)(inputs, outputs, name=self.name(model))
        include_calls(new, list(tensors.values()))
        copy_trainable(model, new)
        return new

    def kind(self, model: keras.Model) -> type[keras.Model]:
        """The class of the new model."""
        return keras.Model

    def name(self, model: keras.Model) -> str:
        """The name of the new model."""
        return model.name

    def inputs(self, model: keras.Model) -> Any:
        """The inputs of the new model, in the structure of the old one's."""
        return tf.nest.map_structure(same_input, model.input)

    def replay(self, model: keras.Model, inputs: list[tf.Tensor]) -> Tensors:
        """Repeats all calls of a model on other inputs; returns the new tensors by the keys of the old ones."""
        tensors: Tensors = dict(zip(keys(model.inputs), inputs, strict=True))
        for call in calls(model):
            outputs = self.call(call, tensors)
            if outputs is not None:
                tensors |= dict(zip(call.outputs, tf.nest.flatten(outputs), strict=True))
        return tensors


class _Copy(Replay):
    """A copy, whose Sequential models stay so, with layers that have weights of their own."""

    def __init__(self, new_layer: Callable[[keras.layers.Layer], keras.layers.Layer]):
        super().__init__()
        self._new_layer = new_layer

    def new_layer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        return self._new_layer(layer)

    def call(self, call: Call, tensors: Tensors) -> Any:
        if not is_operation(call.layer):
            return super().call(call, tensors)
        given = {key: tensors[key] for key in call.inputs}
        if _is_needless_cast(call, given):
            return tensors[call.inputs[0]]
        try:
            return super().call(call, tensors | _of_one_type(call, given))
        except TypeError as error:
            reason = " ".join(str(error).split())[:200]
            raise TostError(
                f"the operation {call.layer.name!r} cannot be called in another precision: {reason}"
            ) from None

    def inputs(self, model: keras.Model) -> Any:
        return tf.nest.map_structure(lambda tensor: self._new_layer(layer_of(tensor)).output, model.input)

    def kind(self, model: keras.Model) -> type[keras.Model]:
        return type(model) if takes_functional_arguments(type(model)) else keras.Model

    def model(self, model: keras.Model) -> keras.Model:
        if added_functions(model):
            raise TostError(
                f"a loss was added to {model.name!r} as a function, which a copy of the model cannot have as its own: "
                "add it as a tensor (`model.add_loss(tensor)`)"
            )
        return self._sequential(model) if isinstance(model, keras.Sequential) else super().model(model)

    def _sequential(self, model: keras.Sequential) -> keras.Sequential:
        in_row = layers_in_row(model)
        layers = [self._new_layer(layer) if _is_input(layer) else self.layer(layer) for layer in in_row]
        same_arguments = type(model).__init__ is keras.Sequential.__init__
        new = (type(model) if same_arguments else keras.Sequential)(layers, name=model.name)
        if not new.built:
            new.build(model.input_shape)
        self._add_calls(model, new)
        copy_trainable(model, new)
        return new

    def _add_calls(self, model: keras.Sequential, new: keras.Sequential) -> None:
        """Repeats the calls that are not in the row of layers: losses and metrics added as tensors."""
        old_calls, new_calls = calls(model), calls(new)
        tensors: Tensors = dict(zip(keys(model.inputs), new.inputs, strict=True))
        for old, fresh in zip(old_calls, new_calls, strict=False):
            tensors |= dict(zip(old.outputs, fresh.output_tensors, strict=True))
        for call in old_calls[len(new_calls) :]:
            outputs = self.call(call, tensors)
            tensors |= dict(zip(call.outputs, tf.nest.flatten(outputs), strict=True))
        include_calls(new, list(tensors.values()))

    def take_over_state(self) -> None:
        """Copies the weights and the flag `trainable` of each old layer to the new one."""
        for old, new in self._stand_ins.values():
            if graph_model_in(old) is None:
                old, new = unwrapped_layer(old), unwrapped_layer(new)
                if new.weights:  # a stand-in may have none
                    new.set_weights(old.get_weights())
                copy_trainable(old, new)


def _of_one_type(call: Call, given: Tensors) -> Tensors:
    """The tensors of an operation, cast to the widest type if layers in another precision made their types differ."""
    floating = {key: tensor for key, tensor in given.items() if tensor.dtype.is_floating}
    before = {tensor.dtype for tensor in call.input_tensors if tensor.dtype.is_floating}
    if len(before) != 1 or len({tensor.dtype for tensor in floating.values()}) < 2:
        return {}
    widest = max((tensor.dtype for tensor in floating.values()), key=lambda dtype: dtype.size)
    return {key: tensor if tensor.dtype == widest else tf.cast(tensor, widest) for key, tensor in floating.items()}


def _is_needless_cast(call: Call, given: Tensors) -> bool:
    """Whether an operation is a cast that changed the type in the old model but would not now."""
    if call.layer.symbol != "cast":
        return False
    (before,), (after,), (now,) = call.input_tensors, call.output_tensors, given.values()
    return before.dtype != after.dtype == now.dtype


def rebuild(model: keras.Model, new_layer: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """A copy of a graph model with the same weights; `new_layer` makes its layers, also those of nested models.

    Args:
      model: a functional or Sequential tf_keras model.
      new_layer: takes a layer, which may be an input, and returns a new one; it may add or remove a pruning wrapper.

    Raises:
      TostError: `model` is of another kind, or has a loss that was added as a function.
    """
    require_graph_model(model)
    copy = _Copy(new_layer)
    new = copy.model(model)
    copy.take_over_state()
    return new


def same_input(tensor: tf.Tensor) -> tf.Tensor:
    """A new input of a model, with the shape, type, kind (sparse, ragged) and name of another."""
    return keras.layers.InputLayer.from_config(layer_of(tensor).get_config()).output


def _is_input(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.InputLayer)
