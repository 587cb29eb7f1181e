"""How a call of a layer treats channels: the interface of rules, and the two simplest rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tost_tf.compaction.cut import Cut
from tost_tf.compaction.graph import Tensor
from tost_tf.compat import keras, tf
from tost_tf.graph.calls import Call

# For each channel its value if it is the same at all positions of all images, else NaN.
Constants = np.ndarray
Atoms = Callable[[Tensor], np.ndarray]  # the numbers of a tensor's channels, unique in the whole graph


class Rule:
    """How a call treats channels. This base class knows nothing about its layer and is right for any: all channels of
    its inputs and outputs are kept.

    Args:
      call: the call.
      inputs: its tensors, in the order of `call.inputs`.

    Attributes:
      outputs: the tensors it returns.
      same_in_every_call: whether the calls of a shared layer must keep the same channels.
    """

    same_in_every_call = True

    def __init__(self, call: Call, inputs: list[Tensor]):
        self.call, self.layer, self.inputs = call, call.layer, inputs
        self.outputs = [
            Tensor(key, shape, self._output_axis()) for key, shape in zip(call.outputs, call.output_shapes, strict=True)
        ]

    def _output_axis(self) -> int:
        return -1

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        """The constants of the outputs."""
        return [np.full(tensor.channels, np.nan) for tensor in self.outputs]

    def tied(self, atoms: Atoms) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of arrays of channels that are kept or removed together."""
        return iter(())

    def kernels(self, atoms: Atoms) -> dict[str, tuple[np.ndarray | None, np.ndarray]]:
        """Attribute -> the channels of the inputs and those of the outputs, of kernels that are cut with channels.

        A depthwise kernel reads the channels that it writes: for its inputs there is `None`.
        """
        return {}

    def pinned(self, atoms: Atoms) -> Iterator[np.ndarray]:
        """Channels that must stay, whether or not they are read."""
        for tensor in (*self.inputs, *self.outputs):
            yield atoms(tensor)

    def cuts(self, kept_in: list[np.ndarray], kept_out: np.ndarray) -> list[Cut]:
        """What stays of each weight of the layer, in their order; arguments as for `resized`."""
        return [Cut.of_last_axes(np.shape(weight)) for weight in self.layer.get_weights()]

    def resized(
        self, constant: Constants, kept_in: list[np.ndarray], kept_out: np.ndarray
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The options of the layer that change when it becomes smaller, and its new weights.

        Args:
          constant: constants of the first input that are the same in all calls of the layer, else NaN.
          kept_in, kept_out: booleans [channels], of all inputs and of the first output.
        """
        return {}, self._cut_weights(kept_in, kept_out)

    def _cut_weights(self, kept_in: list[np.ndarray], kept_out: np.ndarray) -> list[np.ndarray]:
        cuts = self.cuts(kept_in, kept_out)
        return [cut.of_array(weight) for cut, weight in zip(cuts, self.layer.get_weights(), strict=True)]

    def used(self, kept_in: list[np.ndarray]) -> list[int]:
        """The indices of the inputs that the smaller call still takes."""
        return list(range(len(self.inputs)))

    def apply(self, layer: keras.layers.Layer, tensors: list[tf.Tensor | None]) -> Any:
        """Calls the smaller layer on its tensors (`None` for inputs that are not used)."""
        arguments, keywords = self.call.arguments(dict(zip(self.call.inputs, tensors, strict=True)))
        return layer(*arguments, **keywords)

    def added(self, constants: list[Constants], kept_out: np.ndarray) -> np.ndarray:
        """What has to be added to the kept channels of the first output after `apply`; `constants`: of the inputs."""
        return np.zeros(int(kept_out.sum()))


class Channelwise(Rule):
    """A layer that treats each channel separately and all positions alike, and does not change constants: pooling,
    dropout, cropping. Weights, if any, have channels on their last axis."""

    same_in_every_call = False

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        return [inputs[0].copy()]

    def tied(self, atoms: Atoms) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield atoms(self.inputs[0]), atoms(self.outputs[0])

    def pinned(self, atoms: Atoms) -> Iterator[np.ndarray]:
        return iter(())

    def cuts(self, kept_in: list[np.ndarray], kept_out: np.ndarray) -> list[Cut]:
        return [Cut.of_last_axes(weight.shape, kept_in[0]) for weight in self.layer.weights]

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        """Whether the rule is for this call."""
        return (
            len(inputs) == len(call.outputs) == 1
            and inputs[0].axis == -1
            and inputs[0].channels == Tensor("", call.output_shapes[0]).channels
        )
