"""What a layer is called with, as the same layer of the other Keras takes it."""

from __future__ import annotations

import inspect
from typing import Any


def by_meaning(layer: Any, arguments: tuple | list, keywords: dict[str, Any]) -> tuple[list, dict[str, Any]]:
    """The arguments of a call of `layer`, by position only as far as both Keras agree, which is the first.

    MultiHeadAttention and recurrent layers have the rest in another order there. Arguments that are `None` are left
    out. Recurrent layers of tf_keras are called with a list of their input and their initial states.

    Args:
      layer: of the Keras that the call comes from.
      arguments, keywords: of the call.
    """
    names = [
        parameter.name
        for parameter in inspect.signature(layer.call).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.POSITIONAL_ONLY)
    ]
    named = dict(zip(names[1:], arguments[1:], strict=False)) if len(arguments) <= len(names) else {}
    first = list(arguments if len(arguments) > len(names) else arguments[:1])
    keywords = named | keywords
    if "initial_state" in names and first and isinstance(first[0], list | tuple) and len(first[0]) > 1:
        constants = getattr(layer, "_num_constants", 0) or 0
        inputs, *states = first[0]
        end = len(states) - constants
        first, keywords = [inputs], keywords | {"initial_state": states[:end], "constants": states[end:] or None}
    return first, {name: value for name, value in keywords.items() if value is not None}
