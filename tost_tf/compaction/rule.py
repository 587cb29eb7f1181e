"""How a call of a layer treats channels: what every rule says, and the two simplest rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tost_tf.compaction.graph import Tensor
from tost_tf.compat import keras, tf
from tost_tf.graph.calls import Call

# By channel the number a tensor holds at every place of every image, NaN where it depends on the image or the place.
Constants = np.ndarray
Atoms = Callable[[Tensor], np.ndarray]  # the numbers that stand for a tensor's channels in the whole graph


class Rule:
    """How a call treats channels. This one knows nothing of its layer, and is right for any: all it reads is read
    whole, nothing it gives can be left out.

    Args:
      call: the call.
      inputs: its tensors, in the order of `call.inputs`.

    Attributes:
      outputs: the tensors it gives.
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
        """What is constant in the outputs."""
        return [np.full(tensor.channels, np.nan) for tensor in self.outputs]

    def tied(self, atoms: Atoms) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of arrays of channels that are kept or removed together."""
        return iter(())

    def pinned(self, atoms: Atoms) -> Iterator[np.ndarray]:
        """Channels that must stay whoever reads them."""
        for tensor in (*self.inputs, *self.outputs):
            yield atoms(tensor)

    def resized(
        self, constant: Constants, kept_in: list[np.ndarray], kept_out: np.ndarray
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Options of the smaller layer that change, and its weights.

        Args:
          constant: of the first input, where all calls of the layer agree.
          kept_in, kept_out: booleans by channel, of all inputs and of the first output.
        """
        return {}, self.layer.get_weights()

    def used(self, kept_in: list[np.ndarray]) -> list[int]:
        """The inputs, by number, that the smaller call still takes."""
        return list(range(len(self.inputs)))

    def apply(self, layer: keras.layers.Layer, tensors: list[tf.Tensor | None]) -> Any:
        """Calls the smaller layer on its tensors (`None` for inputs that are not used)."""
        arguments, keywords = self.call.arguments(dict(zip(self.call.inputs, tensors, strict=True)))
        return layer(*arguments, **keywords)

    def added(self, constants: list[Constants], kept_out: np.ndarray) -> np.ndarray:
        """What has to be added to the kept channels of the first output after `apply`, `constants` being the inputs."""
        return np.zeros(int(kept_out.sum()))


class Channelwise(Rule):
    """A layer that treats each channel by itself and alike at all places, and leaves a constant what it is: pooling,
    dropout, cropping. Weights, if any, have channels on their last axis."""

    same_in_every_call = False

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        return [inputs[0].copy()]

    def tied(self, atoms: Atoms) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield atoms(self.inputs[0]), atoms(self.outputs[0])

    def pinned(self, atoms: Atoms) -> Iterator[np.ndarray]:
        return iter(())

    def resized(
        self, constant: Constants, kept_in: list[np.ndarray], kept_out: np.ndarray
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        return {}, [weight[..., kept_in[0]] for weight in self.layer.get_weights()]

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        """Whether the call is what the rule is for."""
        return (
            len(inputs) == len(call.outputs) == 1
            and inputs[0].axis == -1
            and inputs[0].channels == Tensor("", call.output_shapes[0]).channels
        )
