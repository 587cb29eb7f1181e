"""Converts one layer from one Keras to the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tost_tf.errors import TostError
from tost_tf.graph.copy import HELD

# Options with another name, by class: tf_keras -> Keras 3.
RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
# Options that every layer has, or that do not change what it computes.
GENERAL = {"name", "trainable", "dtype"}
# Activations with the same name that are different functions (slope 0.2 in tf_keras, 1/6 in Keras 3).
OTHER_FUNCTION = {"hard_sigmoid"}
# Names of one activation. The functions of these names are different objects in tf_keras, whose configs say "swish".
SAME_FUNCTION = ("silu", "swish")
# Options of only one Keras that do not change what a layer computes for given weights and random numbers.
INACTIVE = {"rng_type"}
# Options that recurrent layers take although they are not in their signatures.
UNSIGNED = {"zero_output_for_mask"}
PARTS = ("initializer", "regularizer", "constraint")


class Direction:
    """The direction of a conversion.

    Args:
      source, target: the two Keras packages.
      to_keras3: whether `target` is Keras 3.

    Attributes:
      source_name, target_name: their names in error messages.
    """

    def __init__(self, source: ModuleType, target: ModuleType, to_keras3: bool):
        self.source, self.target, self.to_keras3 = source, target, to_keras3
        names = ("tf_keras", "Keras 3")
        self.source_name, self.target_name = names if to_keras3 else names[::-1]
        self._made: dict[int, tuple[Any, Any]] = {}  # by its id, a layer and its counterpart

    def once(self, layer: Any, make: Callable[[Any], Any]) -> Any:
        """What `make` gives for a layer or a model; the same each time, as several nested models may share it."""
        if id(layer) not in self._made:
            self._made[id(layer)] = layer, make(layer)
        return self._made[id(layer)][1]

    @property
    def _as_layers(self) -> dict[Any, Any]:
        """Activations of Keras 3 that are layers, not functions, in tf_keras."""
        functions, layers = self.source.activations, self.target.layers
        return {
            functions.relu6: lambda name: layers.ReLU(6.0, name=name),
            functions.leaky_relu: lambda name: layers.LeakyReLU(0.2, name=name),
        }

    def no_counterpart(self, name: str, kind: str) -> TostError:
        return TostError(f"the layer {name!r} ({kind}) has no counterpart in {self.target_name}: remove or replace it")

    def not_called(self, name: str, kind: str, error: Exception) -> TostError:
        """The error for a call that the source can make but the target cannot."""
        return self.no_counterpart(name, f"{kind}, called so: {' '.join(str(error).split())[:200]}")

    def counterpart(self, layer: Any, model: Callable[[Any], Any] | None = None, name: str | None = None) -> Any:
        """A new layer of the target with the name and options of `layer`, a layer of the source.

        Args:
          layer: not a model; it may hold a model or other layers, as `TimeDistributed` and `Bidirectional` do.
          model: converts a model that the layer holds.
          name: another name for the new layer.

        Raises:
          TostError: the target has no such layer, or lacks an option that `layer` uses.
        """
        kind = type(layer).__name__
        if kind == "Activation" and not self.to_keras3 and layer.activation in self._as_layers:
            return self._as_layers[layer.activation](layer.name)
        new_class = getattr(self.target.layers, kind, None)
        if new_class is None or getattr(self.source.layers, kind, None) is not type(layer):
            raise self.no_counterpart(layer.name, f"{type(layer).__module__}.{kind}")
        try:
            held = self._held(layer, model)
        except TostError as error:
            raise TostError(f"in the layer {layer.name!r}: {error}"[:499]) from None
        options = self._options(layer, new_class) | held
        options |= {"name": name} if name else {}
        if not _takes(new_class, "trainable"):
            del options["trainable"]
        try:
            return new_class(**options)
        except (TypeError, ValueError) as error:
            raise self.no_counterpart(layer.name, f"{kind}: {' '.join(str(error).split())[:200]}") from None

    def _held(self, layer: Any, model: Callable[[Any], Any] | None) -> dict[str, Any]:
        """The counterparts of the layers, or the model, that are options of `layer`."""
        held = {}
        for option in HELD:
            if option not in layer.get_config():
                continue
            inner = getattr(layer, "forward_layer" if option == "layer" and _has_two(layer) else option)
            if option == "cells":
                held[option] = [self.counterpart(cell, model) for cell in inner]
            elif model is not None and isinstance(inner, self.source.Model):
                held[option] = model(inner)
            else:
                # Bidirectional adds these prefixes to the names of its layers.
                name = inner.name.removeprefix("forward_").removeprefix("backward_") if _has_two(layer) else inner.name
                held[option] = self.counterpart(inner, model, name)
        return held

    def _options(self, layer: Any, new_class: type) -> dict[str, Any]:
        kind, config = type(layer).__name__, layer.get_config()
        known, defaults = _signature(new_class), _signature(type(layer))
        renamed = RENAMED.get(kind, {})
        renamed = renamed if self.to_keras3 else {new: old for old, new in renamed.items()}
        options = {"name": config["name"], "trainable": layer.trainable, "dtype": _type_name(config["dtype"])}
        for key, value in config.items():
            new_key = renamed.get(key, key)
            if key in GENERAL or key in HELD:
                continue
            if new_key in known or new_key in UNSIGNED:
                self._require_activation(layer, key, value)
                value = self._translated(key, value, f"the layer {layer.name!r} ({kind})")
                if value is not _DROPPED:
                    options[new_key] = value
            elif not _harmless(key, value) and value != defaults.get(key, value):
                raise TostError(
                    f"the layer {layer.name!r} ({kind}) has {key}={value!r}, which {self.target_name} does not have"
                )
        return options

    def _require_activation(self, layer: Any, key: str, value: Any) -> None:
        if not key.endswith("activation") or value is None:
            return
        if value in SAME_FUNCTION and getattr(layer, key, None) in map(self.source.activations.get, SAME_FUNCTION):
            return
        known = isinstance(value, str) and value not in OTHER_FUNCTION and hasattr(self.target.activations, value)
        # A user's function may have the name of a known one.
        if not known or getattr(layer, key, None) not in (None, self.source.activations.get(value)):
            raise self.no_counterpart(layer.name, f"{type(layer).__name__} with {key} {value!r}")

    def _translated(self, key: str, value: Any, owner: str) -> Any:
        """The value of an option: initialisers, regularisers and constraints become those of the target."""
        part = next((part for part in PARTS if key.endswith(part)), None)
        if value == "silu" and not self.to_keras3:
            return "swish"
        if key == "axis" and isinstance(value, list | tuple) and len(value) == 1:
            return int(value[0])
        if not isinstance(value, dict):
            return value
        if part is None:
            raise TostError(f"{owner} has {key}={str(value)[:150]}, which cannot be converted to {self.target_name}")
        new_class = getattr(getattr(self.target, f"{part}s"), str(value.get("class_name")), None)
        if new_class is None:
            # The weights are copied from the layer, so their initialiser no longer matters.
            if part == "initializer":
                return _DROPPED
            raise TostError(f"the {part} {value.get('class_name')!r} has no counterpart in {self.target_name}")
        known = _signature(new_class)
        return new_class(**{name: item for name, item in value["config"].items() if name in known})


_DROPPED = object()


def _takes(kind: type, option: str) -> bool:
    parameters = inspect.signature(kind.__init__).parameters
    return option in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values())


def _has_two(layer: Any) -> bool:
    """Whether a layer holds two others, one for each direction."""
    return hasattr(layer, "backward_layer")


def _harmless(key: str, value: Any) -> bool:
    """Whether an option that the other Keras does not have can be left out, whatever its default is."""
    return (
        value is None
        or key in INACTIVE
        or key.endswith("initializer")
        or (key == "data_format" and value == "channels_last")
    )


def copy_weights(layer: Any, new_layer: Any) -> None:
    """Copies the weights of a layer to its counterpart, by name if the names are the same, else in order.

    Raises:
      TostError: the counterpart has weights of other shapes.
    """
    old = [(_last(weight.name), np.asarray(weight.numpy())) for weight in layer.weights]
    new = [_last(weight.name) for weight in new_layer.weights]
    by_name = dict(old)
    in_order = [by_name[name] for name in new] if len(by_name) == len(old) and set(by_name) == set(new) else None
    arrays = in_order or [array for _, array in old]
    if [array.shape for array in arrays] != [tuple(weight.shape) for weight in new_layer.weights]:
        raise TostError(
            f"the weights of {layer.name!r} ({', '.join(f'{name} {list(a.shape)}' for name, a in old)}) do not fit its "
            f"counterpart ({', '.join(f'{_last(w.name)} {list(w.shape)}' for w in new_layer.weights)})"
        )
    new_layer.set_weights(arrays)
    if hasattr(new_layer, "finalize_state"):
        new_layer.finalize_state()  # a Normalization layer computes with values derived from its weights


def _last(name: str) -> str:
    return name.split("/")[-1].split(":")[0]


def _type_name(dtype: Any) -> str:
    """float32, or the name of a mixed-precision policy."""
    return dtype["config"]["name"] if isinstance(dtype, dict) else str(dtype)


def _signature(kind: type) -> dict[str, Any]:
    """The options of a class and its base classes, with their defaults."""
    options = {}
    for base in kind.__mro__:
        if base.__name__ in ("Layer", "Operation", "object"):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                options.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            break  # nothing is passed on to the base classes
    return options
