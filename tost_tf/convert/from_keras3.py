"""A Keras 3 model as a tf_keras model."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tost_tf.compat import keras, keras3, tf
from tost_tf.convert.arguments import by_meaning
from tost_tf.convert.layer import Direction, copy_weights
from tost_tf.convert.operations import FROM_KERAS3
from tost_tf.errors import TostError
from tost_tf.graph.copy import graph_model_in


def from_keras3(model: Any) -> keras.Model:
    """A functional or Sequential Keras 3 model rebuilt in tf_keras: same layers, names, options, weights, outputs.

    Only configs and weights are read, and nothing is run, so any backend of Keras 3 works.

    Args:
      model: a Keras 3 model; nested models and layers that are called several times stay so.

    Raises:
      TostError: it is not such a model, or a layer or operation has no counterpart in tf_keras.

    Examples:
      >>> import keras as keras3
      >>> theirs = keras3.Sequential([keras3.Input((4,)), keras3.layers.Dense(3)])
      >>> ours = tost.from_keras3(theirs)
      >>> bool(np.allclose(ours(np.ones((1, 4))), theirs(np.ones((1, 4))), atol=1e-6))
      True
    """
    keras_3 = keras3()
    direction = Direction(keras_3, keras, to_keras3=False)
    if not isinstance(model, keras_3.Model):
        raise TostError(
            f"expected a Keras 3 model, got an object of type {type(model).__module__}.{type(model).__name__}"
        )
    return _converted(model, keras_3, direction)


def _converted(model: Any, keras_3: Any, direction: Direction) -> keras.Model:
    if isinstance(model, keras_3.Sequential):
        if not model.built or not model.inputs:
            raise TostError(
                f"the Sequential model {model.name!r} has no input shape yet: call `model.build(...)` first"
            )
        inputs = _input(model.inputs[0].shape, model.inputs[0].dtype, f"{model.name}_input")
        new = keras.Sequential(
            [inputs, *(_layer(layer, keras_3, direction) for layer in model.layers)], name=model.name
        )
        _copy_all(model.layers, new.layers)
        return new
    if not any(base.__name__ == "Functional" for base in type(model).__mro__):
        raise TostError(
            f"{type(model).__module__}.{type(model).__name__} is a subclassed Keras 3 model, whose graph cannot be "
            "seen: write it with the functional API (`keras.Model(inputs, outputs)`) or as a Sequential model"
        )
    return _Rebuilt(model, keras_3, direction).model


def _input(shape: tuple, dtype: str, name: str) -> keras.layers.InputLayer:
    return keras.layers.InputLayer(input_shape=shape[1:], batch_size=shape[0], dtype=dtype, name=name)


def _layer(layer: Any, keras_3: Any, direction: Direction) -> keras.layers.Layer:
    def make(layer: Any) -> keras.layers.Layer:
        if isinstance(layer, keras_3.Model):
            return _converted(layer, keras_3, direction)
        return direction.counterpart(layer, lambda model: _converted(model, keras_3, direction))

    return direction.once(layer, make)


def _copy_all(layers: list, new_layers: list) -> None:
    for layer, new_layer in zip(layers, new_layers, strict=True):
        if graph_model_in(new_layer) is None:  # nested models have their weights already
            copy_weights(layer, new_layer)


class _Rebuilt:
    """A functional model called again from its config, which lists the calls of each layer."""

    def __init__(self, model: Any, keras_3: Any, direction: Direction):
        self.source, self.keras_3, self.direction = model, keras_3, direction
        self.tensors: dict[tuple, Any] = {}  # (layer, call, output) -> tensor
        self.layers: dict[str, Any] = {}
        config = model.get_config()
        self.calls = {entry["name"]: len(_calls(entry)) for entry in config["layers"]}
        waiting = [(entry, number, call) for entry in config["layers"] for number, call in enumerate(_calls(entry))]
        while waiting:
            left = [task for task in waiting if not self._call(*task)]
            if len(left) == len(waiting):
                raise TostError(f"the calls of {left[0][0]['name']!r} in {model.name!r} cannot be put in order")
            waiting = left
        inputs, outputs = (self._structure(config[key]) for key in ("input_layers", "output_layers"))
        self.model = keras.Model(inputs, outputs, name=model.name)
        for name, layer in self.layers.items():
            if graph_model_in(layer) is None:
                copy_weights(model.get_layer(name), layer)
        if not model.trainable:
            self.model.trainable = False  # for all its layers; True would also unfreeze frozen ones

    def _call(self, entry: dict, number: int, call: dict | None) -> bool:
        """Repeats one call of a layer; returns `False` if a tensor it needs is still missing."""
        name = entry["name"]
        if call is None:
            config = entry["config"]
            self.tensors[name, 0, 0] = keras.Input(
                config["batch_shape"][1:], config["batch_shape"][0], name=name, dtype=config["dtype"]
            )
            return True
        if any(self._key(key) not in self.tensors for key in _needed(call)):
            return False
        arguments, keywords = self._filled(call["args"]), self._filled(call["kwargs"])
        function = self._function(entry)
        if name in self.layers:
            arguments, keywords = by_meaning(self.source.get_layer(name), arguments, keywords)
        else:
            keywords = {key: value for key, value in keywords.items() if value is not None}
        try:
            outputs = function(*arguments, **keywords)
        except (TypeError, ValueError) as error:
            raise self.direction.not_called(name, entry["class_name"], error) from None
        for index, tensor in enumerate(outputs if isinstance(outputs, list | tuple) else [outputs]):
            self.tensors[name, number, index] = tensor
        return True

    def _function(self, entry: dict) -> Any:
        name, module = entry["name"], entry.get("module") or ""
        if module.startswith("keras.src.ops"):
            if entry["class_name"] not in FROM_KERAS3:
                raise self.direction.no_counterpart(name, f"the operation {entry['class_name']}")
            return operator.attrgetter(FROM_KERAS3[entry["class_name"]])(tf)
        if name not in self.layers:
            self.layers[name] = _layer(self.source.get_layer(name), self.keras_3, self.direction)
        return self.layers[name]

    def _key(self, history: Sequence) -> tuple:
        """The key of a tensor. Where a nested model shares layers, Keras counts a call of it that is not listed."""
        name, call, output = history
        return name, min(call, self.calls[name] - 1), output

    def _filled(self, value: Any) -> Any:
        """The arguments, with descriptions of tensors replaced by the tensors."""
        if isinstance(value, dict):
            if value.get("class_name") == "__keras_tensor__":
                return self.tensors[self._key(value["config"]["keras_history"])]
            if value.get("class_name") == "__tuple__":
                return tuple(self._filled(item) for item in value["items"])
            if value.get("class_name") in ("__numpy__", "__tensor__"):
                return np.asarray(value["config"]["value"], value["config"]["dtype"])
            return {key: self._filled(item) for key, item in value.items()}
        return [self._filled(item) for item in value] if isinstance(value, list | tuple) else value

    def _structure(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._structure(item) for key, item in value.items()}
        if len(value) == 3 and isinstance(value[0], str):
            return self.tensors[self._key(value)]
        return [self._structure(item) for item in value]


def _calls(entry: dict) -> list[dict | None]:
    return [None] if entry["class_name"] == "InputLayer" else entry["inbound_nodes"]


def _needed(value: Any) -> list[tuple]:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [tuple(value["config"]["keras_history"])]
        return [key for item in value.values() for key in _needed(item)]
    return [key for item in value for key in _needed(item)] if isinstance(value, list | tuple) else []
