"""A Keras 3 model as a tf_keras model."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tost_tf.compat import keras, keras3, tf
from tost_tf.compat.keras3_graphs import calls_by_name
from tost_tf.convert.arguments import by_meaning
from tost_tf.convert.layer import Direction, copy_weights
from tost_tf.convert.masks_from_keras3 import arguments_with_masks, is_mask_of_keras, outputs_with_masks
from tost_tf.convert.merges import require_same_masks_in_row
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
        require_same_masks_in_row(new)
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
        self.tensors: dict[tuple, Any] = {}  # (layer, call, output) -> tensor, or the error that says why there is none
        self.ours: dict[int, Any] = {}  # the same by the id of the tensor in Keras 3
        self.nodes = calls_by_name(model)
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
        node = self.nodes[entry["name"]][number]
        if call is None:
            config = entry["config"]
            shape, dtype = config["batch_shape"], config["dtype"]
            self._keep(node, 0, 0, keras.Input(shape[1:], shape[0], name=entry["name"], dtype=dtype))
            return True
        if any(self._key(key) not in self.tensors for key in _needed(call)):
            return False
        if (entry.get("module") or "").startswith("keras.src.ops"):
            try:
                outputs = [self._computed(entry, call)]
            except TostError as error:  # the operation may only compute a mask that tf_keras finds by itself
                outputs = [error] * len(node.output_tensors)
        else:
            outputs = self._returned(entry, call, node)
        for index, tensor in enumerate(outputs):
            self._keep(node, number, index, tensor)
        return True

    def _keep(self, node: Any, number: int, index: int, tensor: Any) -> None:
        self.tensors[node.operation.name, number, index] = self.ours[id(node.output_tensors[index])] = tensor

    def _computed(self, entry: dict, call: dict) -> tf.Tensor:
        """What an operation gives."""
        name, kind = entry["name"], entry["class_name"]
        if kind not in FROM_KERAS3:
            raise self.direction.no_counterpart(name, f"the operation {kind}")
        keywords = {key: value for key, value in self._filled(call["kwargs"]).items() if value is not None}
        try:
            return operator.attrgetter(FROM_KERAS3[kind])(tf)(*self._filled(call["args"]), **keywords)
        except TostError:
            raise
        except (TypeError, ValueError) as error:
            raise self.direction.not_called(name, kind, error) from None

    def _returned(self, entry: dict, call: dict, node: Any) -> list:
        """What a layer returns."""
        name, source = entry["name"], self.source.get_layer(entry["name"])
        if name not in self.layers:
            self.layers[name] = _layer(source, self.keras_3, self.direction)
        layer, given = self.layers[name], call["kwargs"]
        if call["args"]:  # the masks of its tensors are found along the graph
            given = {key: value for key, value in given.items() if not is_mask_of_keras(key)}
        arguments, keywords = by_meaning(source, self._filled(call["args"]), self._filled(given))
        arguments, keywords = arguments_with_masks(node, layer, arguments, keywords, self.ours)
        try:
            outputs = layer(*arguments, **keywords)
        except (TypeError, ValueError) as error:
            raise self.direction.not_called(name, entry["class_name"], error) from None
        return outputs_with_masks(node, layer, outputs, self.ours)

    def _key(self, history: Sequence) -> tuple:
        """The key of a tensor. Where a nested model shares layers, Keras counts a call of it that is not listed."""
        name, call, output = history
        return name, min(call, self.calls[name] - 1), output

    def _tensor(self, history: Sequence) -> tf.Tensor:
        tensor = self.tensors[self._key(history)]
        if isinstance(tensor, TostError):
            raise tensor
        return tensor

    def _filled(self, value: Any) -> Any:
        """The arguments, with descriptions of tensors replaced by the tensors."""
        if isinstance(value, dict):
            if value.get("class_name") == "__keras_tensor__":
                return self._tensor(value["config"]["keras_history"])
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
            return self._tensor(value)
        return [self._structure(item) for item in value]


def _calls(entry: dict) -> list[dict | None]:
    return [None] if entry["class_name"] == "InputLayer" else entry["inbound_nodes"]


def _needed(value: Any) -> list[tuple]:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [tuple(value["config"]["keras_history"])]
        return [key for item in value.values() for key in _needed(item)]
    return [key for item in value for key in _needed(item)] if isinstance(value, list | tuple) else []
