"""Rules for layers that move channels to other positions: Flatten, Reshape, and padding with zero channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tost_tf.compaction.graph import Tensor
from tost_tf.compaction.rule import Atoms, Constants, Rule
from tost_tf.graph.calls import Call


class Reshaped(Rule):
    """Flatten or Reshape if channels stay on the last axis, if they are flattened together with the axes before them,
    or if an axis of size one is appended after them.

    Element p·C + k of a flattened image is channel k at position p.
    """

    def _output_axis(self) -> int:
        source, shape = self.inputs[0], self.call.output_shapes[0]
        return -2 if source.axis == -1 and shape[1:] == (*source.shape[1:], 1) else -1

    @property
    def _places(self) -> int:
        """How many times the channels are repeated in the channels of the output."""
        return self.outputs[0].channels // self.inputs[0].channels

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        return [np.tile(inputs[0], self._places)]

    def tied(self, atoms: Atoms):
        yield np.tile(atoms(self.inputs[0]), self._places), atoms(self.outputs[0])

    def pinned(self, atoms: Atoms):
        return iter(())

    def resized(
        self, constant: Constants, kept_in: list[np.ndarray], kept_out: np.ndarray
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        if not hasattr(self.layer, "target_shape"):
            return {}, []
        shape, axis = list(self.layer.target_shape), self.outputs[0].axis
        if shape[axis] != -1:  # an unknown size stays unknown, for calls on other sizes
            shape[axis] = int(kept_out.sum())
        return {"target_shape": tuple(shape)}, []

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        """Whether the rule is for this call."""
        if len(inputs) != 1:
            return False
        old, new = inputs[0].shape[1:], call.output_shapes[0][1:]
        if not old or not new or None in old or None in new:
            return False
        if inputs[0].axis == -2:
            return old[-1] == 1 and new == old[:-1]
        return new == (*old, 1) or new[-1] == old[-1] or len(new) == 1


class ZeroChannels(Rule):
    """ZeroPadding3D that pads only the axis of channels: the shortcut of ResNets for small images."""

    def _output_axis(self) -> int:
        return -2

    @property
    def _before(self) -> int:
        return self.layer.padding[2][0]

    def _inner(self) -> slice:
        return slice(self._before, self._before + self.inputs[0].channels)

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        constants = np.zeros(self.outputs[0].channels)
        constants[self._inner()] = inputs[0]
        return [constants]

    def tied(self, atoms: Atoms):
        yield atoms(self.inputs[0]), atoms(self.outputs[0])[self._inner()]

    def pinned(self, atoms: Atoms):
        return iter(())

    def resized(
        self, constant: Constants, kept_in: list[np.ndarray], kept_out: np.ndarray
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        sides = (int(kept_out[: self._before].sum()), int(kept_out[self._inner().stop :].sum()))
        return {"padding": (*self.layer.padding[:2], sides)}, []

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        """Whether the rule is for this call."""
        return inputs[0].axis == -2 and tuple(map(tuple, call.layer.padding[:2])) == ((0, 0), (0, 0))
