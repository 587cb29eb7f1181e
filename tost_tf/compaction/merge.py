"""Rules for layers that join tensors: sums, products, concatenations."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from tost_tf.compaction.graph import Tensor
from tost_tf.compaction.rule import Atoms, Constants, Rule
from tost_tf.compat import keras, tf
from tost_tf.graph.calls import Call

# The function by which a call joins tensors, by class of the layer or symbol of the operation.
SUMS = {keras.layers.Add: np.add, "math.add": np.add, "__operators__.add": np.add}
MERGES = SUMS | {
    keras.layers.Multiply: np.multiply,
    keras.layers.Subtract: np.subtract,
    keras.layers.Maximum: np.maximum,
    keras.layers.Minimum: np.minimum,
    "math.multiply": np.multiply,
    "math.subtract": np.subtract,
    "math.maximum": np.maximum,
    "math.minimum": np.minimum,
}


class Merged(Rule):
    """Several tensors joined elementwise: channel k of each stays or goes with channel k of the others."""

    same_in_every_call = False

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        function = MERGES[kind_of(self.call)]
        result = reduce(function, inputs)
        return [np.where(np.any(np.equal(inputs, 0), axis=0), 0.0, result) if function is np.multiply else result]

    def tied(self, atoms: Atoms):
        for tensor in self.inputs:
            yield atoms(tensor), atoms(self.outputs[0])

    def pinned(self, atoms: Atoms):
        return iter(())

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        """Whether the rule is for this call."""
        channels = {Tensor("", shape).channels for shape in call.output_shapes}
        return (
            len(call.outputs) == 1
            and len(inputs) > 1
            and all(tensor.axis == -1 for tensor in inputs)
            and {tensor.channels for tensor in inputs} == channels
        )


class Averaged(Merged):
    """The mean of several tensors."""

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        return [np.mean(inputs, axis=0)]


class Sum(Merged):
    """A sum. A term that is constant in every kept channel is removed, with the layers that compute only it; if it is
    not zero, a BatchNormalization that only adds numbers takes its place.

    Attributes:
      gone: the removed terms, by index.
    """

    def __init__(self, call: Call, inputs: list[Tensor]):
        super().__init__(call, inputs)
        self.gone: set[int] = set()

    def leave_out(self, constants: list[Constants], kept: np.ndarray) -> bool:
        """Removes terms that are constant in all kept channels. True if there was one. One term always stays."""
        shapes = {tensor.shape[1:] for tensor in self.inputs}
        if len(shapes) > 1 or None in shapes.pop():
            return False  # a term that is broadcast may make the others larger
        left = [index for index in range(len(self.inputs)) if index not in self.gone]
        going = [index for index in left if not np.isnan(constants[index][kept]).any()]
        going = going[: len(left) - 1]
        self.gone |= set(going)
        return bool(going)

    def tied(self, atoms: Atoms):
        for index, tensor in enumerate(self.inputs):
            if index not in self.gone:
                yield atoms(tensor), atoms(self.outputs[0])

    def used(self, kept_in: list[np.ndarray]) -> list[int]:
        return [index for index in range(len(self.inputs)) if index not in self.gone]

    def apply(self, layer: keras.layers.Layer, tensors: list[tf.Tensor | None]) -> Any:
        if not self.gone:
            return super().apply(layer, tensors)
        left = [tensor for tensor in tensors if tensor is not None]
        return left[0] if len(left) == 1 else layer(left)

    def added(self, constants: list[Constants], kept_out: np.ndarray) -> np.ndarray:
        return sum((constants[index][kept_out] for index in self.gone), np.zeros(int(kept_out.sum())))


class Concatenated(Rule):
    """A concatenation along the last axis. A tensor without kept channels is removed from it."""

    same_in_every_call = False

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        return [np.concatenate(inputs)]

    def tied(self, atoms: Atoms):
        yield np.concatenate([atoms(tensor) for tensor in self.inputs]), atoms(self.outputs[0])

    def pinned(self, atoms: Atoms):
        return iter(())

    def used(self, kept_in: list[np.ndarray]) -> list[int]:
        return [index for index, kept in enumerate(kept_in) if kept.any()]

    def apply(self, layer: keras.layers.Layer, tensors: list[tf.Tensor | None]) -> Any:
        left = [tensor for tensor in tensors if tensor is not None]
        if len(left) == 1:
            return left[0]
        return layer(left) if isinstance(layer, keras.layers.Concatenate) else layer(left, axis=-1)

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        """Whether the rule is for this call."""
        channels = [tensor.channels for tensor in inputs]
        # The operation is given its axis, and perhaps a name.
        given = [value for value in call.other_arguments if value is not None and not isinstance(value, str)]
        axes = [call.layer.axis, *given] if isinstance(call.layer, keras.layers.Concatenate) else given
        return (
            all(tensor.axis == -1 for tensor in inputs)
            and len(axes) == 1
            and isinstance(axes[0], int)
            and axes[0] in (-1, len(inputs[0].shape) - 1)
            and all(channels)
            and sum(channels) == Tensor("", call.output_shapes[0]).channels
        )


def kind_of(call: Call) -> type | str:
    """The class of the layer, or the symbol of an operation that is in the graph without a layer."""
    return getattr(call.layer, "symbol", None) or type(call.layer)
