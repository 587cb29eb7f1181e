"""Dense layers along any axes."""

from __future__ import annotations

from collections.abc import Mapping

from tost_tf.compat import keras
from tost_tf.graph.kernel_kinds.kind import Axes, KernelKind


def _kernels(layer: keras.layers.EinsumDense) -> Mapping[str, Axes]:
    """The axes of the outputs are those that also occur in the layer's output."""
    operands, result = layer.equation.replace(" ", "").split("->")
    letters = operands.split(",")[1]
    places = {letter: index - len(letters) for index, letter in enumerate(letters)}
    inputs = tuple(place for letter, place in places.items() if letter not in result)
    return {"kernel": (inputs, tuple(place for letter, place in places.items() if letter in result))}


KIND = KernelKind((keras.layers.EinsumDense,), _kernels)
