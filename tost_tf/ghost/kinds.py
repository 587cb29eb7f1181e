"""Kinds of ghosts and schedules: names in a registry, or functions of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.registry import Registry

Kind = str | Callable


def function_of(registry: Registry, kind: Kind | Mapping[str, Any]) -> Callable:
    """The function that a kind is: by its name, itself, or from the config that `config_of` gives.

    Raises:
      TostError: there is no such name, or `kind` is something else.
    """
    if isinstance(kind, str):
        return registry[kind]
    if isinstance(kind, Mapping):
        kind = keras.saving.deserialize_keras_object(kind)
    if isinstance(kind, type):
        raise TostError(f"a {registry.kind} that is a class is given by its name: register {kind.__name__}")
    if not callable(kind):
        raise TostError(
            f"a {registry.kind} is the name of one ({', '.join(registry)}) or a function, got {type(kind).__name__}"
        )
    return kind


def config_of(kind: Kind) -> str | dict[str, Any]:
    """What a config holds of a kind."""
    return kind if isinstance(kind, str) else keras.saving.serialize_keras_object(kind)


def label_of(kind: Kind) -> str:
    """What tables call it."""
    return kind if isinstance(kind, str) else getattr(kind, "__name__", type(kind).__name__)
