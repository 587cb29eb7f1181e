"""The arguments of a layer's call, in the form that the same layer of the other Keras takes."""

from __future__ import annotations

import inspect
from typing import Any


def by_meaning(layer: Any, arguments: tuple | list, keywords: dict[str, Any]) -> tuple[list, dict[str, Any]]:
    """The arguments of a call of `layer`: the first by position, on which both Keras agree, the others by name.

    The order of the others differs for MultiHeadAttention and recurrent layers. Arguments that are `None` are left out.
    Recurrent layers of tf_keras are called with a list of their input and initial states.

    Args:
      layer: of the Keras from which the call comes.
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
