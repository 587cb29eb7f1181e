"""Replaces the calls of layers for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from tost_tf.compat import keras

Call = Callable[..., object]


@contextlib.contextmanager
def calls_replaced(
    layers: Iterable[keras.layers.Layer], replace: Callable[[keras.layers.Layer, Call], Call], method: str = "call"
) -> Iterator:
    """Inside the block, `layer.call`, or another method, is `replace(layer, layer.call)`, for each of the layers."""
    with contextlib.ExitStack() as undo:
        for layer in layers:
            had_one = method in vars(layer)  # else it is the class's
            original = getattr(layer, method)
            # Not by a normal assignment: Keras would search the new value for weights.
            object.__setattr__(layer, method, replace(layer, original))
            if had_one:
                undo.callback(object.__setattr__, layer, method, original)
            else:
                undo.callback(object.__delattr__, layer, method)
        yield
