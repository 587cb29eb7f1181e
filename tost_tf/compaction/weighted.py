"""Rules for layers in which any output channel may read any input channel: convolutions and Dense."""

from __future__ import annotations

from typing import Any

import numpy as np

from tost_tf.compaction.cut import Cut
from tost_tf.compaction.graph import Tensor
from tost_tf.compaction.pointwise import at_constants, is_pointwise
from tost_tf.compaction.rule import Atoms, Constants, Rule
from tost_tf.compaction.taps import safe_taps
from tost_tf.compat import keras, tf
from tost_tf.graph.calls import Call


class Weighted(Rule):
    """A layer with a kernel from input to output channels. An output channel is constant if all channels it reads are.
    An input channel is not needed if no kept output reads it, or if it is constant and the biases can take it in.

    Attributes:
      reads: whether any weight is non-zero, [in, out].
      reads_unsafely: whether any weight that somewhere falls on padding is non-zero, [in, out].
    """

    channels_option = "filters"

    def __init__(self, call: Call, inputs: list[Tensor]):
        super().__init__(call, inputs)
        self.reads, self.reads_unsafely = self._reads(np.full(self._safe().size, True)), self._reads(~self._safe())

    def _reads(self, taps: np.ndarray) -> np.ndarray:
        """Whether any weight at the taps is non-zero, [in, out]."""
        return np.any(by_tap(self.layer.kernel)[taps.ravel()], axis=0)

    def _gain(self, rows: np.ndarray) -> np.ndarray:
        """The sum over taps of the weights of some input channels, in double precision, [in, out]."""
        return by_tap(self.layer.kernel)[:, rows].sum(axis=0, dtype=np.float64)

    def _safe(self) -> np.ndarray:
        return safe_taps_of(self.layer, self.inputs[0])

    def stuck(self, constant: Constants) -> np.ndarray:
        """Whether an output channel reads an input channel that a bias cannot replace, booleans [in, out]."""
        absorbed = (constant == 0)[:, None] | (~np.isnan(constant)[:, None] & ~self.reads_unsafely)
        return self.reads & ~absorbed

    def _folded(self, constant: Constants) -> np.ndarray:
        """What constant input channels add to each output channel, in double precision."""
        rows = np.flatnonzero(np.nan_to_num(constant))
        return constant[rows] @ self._gain(rows)

    def _bias(self) -> np.ndarray:
        size = self.reads.shape[1]
        return self.layer.bias.numpy().astype(np.float64) if self.layer.use_bias else np.zeros(size)

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        known = ~self.stuck(inputs[0]).any(axis=0)
        values = np.where(known, self._bias() + self._folded(inputs[0]), np.nan)
        if not is_pointwise(self.layer.activation):
            return [np.full(values.shape, np.nan)]
        return [at_constants(self.layer.activation, values) if self.layer.activation else values]

    def pinned(self, atoms: Atoms):
        if not is_pointwise(self.layer.activation):
            yield atoms(self.outputs[0])

    def kernels(self, atoms: Atoms) -> dict[str, tuple[np.ndarray | None, np.ndarray]]:
        return {"kernel": (atoms(self.inputs[0]), atoms(self.outputs[0]))}

    def needed(self, constant: Constants, kept: np.ndarray) -> np.ndarray:
        """Which input channels the kept output channels need."""
        return self.stuck(constant)[:, kept].any(axis=1)

    def resized(
        self, constant: Constants, kept_in: list[np.ndarray], kept_out: np.ndarray
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        added = self._folded(np.where(kept_in[0], 0.0, constant))[kept_out]
        use_bias = self.layer.use_bias or bool(np.any(added))
        bias = [self._bias()[kept_out] + added] if use_bias else []
        options = {self.channels_option: int(kept_out.sum()), "use_bias": use_bias}
        kernels = self._cut_weights(kept_in, kept_out)[: -1 if self.layer.use_bias else None]
        return options, [*kernels, *bias]

    def cuts(self, kept_in: list[np.ndarray], kept_out: np.ndarray) -> list[Cut]:
        bias = [Cut.of_last_axes(self.layer.bias.shape, kept_out)] if self.layer.use_bias else []
        return [*self._kernel_cuts(kept_in[0], kept_out), *bias]

    def _kernel_cuts(self, kept_in: np.ndarray, kept_out: np.ndarray) -> list[Cut]:
        return [Cut.of_last_axes(self.layer.kernel.shape, kept_in, kept_out)]

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        """Whether the rule is for this call."""
        return len(inputs) == 1 and inputs[0].axis == -1 and getattr(call.layer, "groups", 1) == 1


class Dense(Weighted):
    """A Dense layer, on the last axis of a tensor of any rank."""

    channels_option = "units"

    def _safe(self) -> np.ndarray:
        return np.full(1, True)


class Separable(Weighted):
    """A separable convolution: each input channel is filtered separately, then a 1x1 convolution mixes them."""

    def kernels(self, atoms: Atoms) -> dict[str, tuple[np.ndarray | None, np.ndarray]]:
        read = np.repeat(atoms(self.inputs[0]), self.layer.depth_multiplier)
        return {"pointwise_kernel": (read, atoms(self.outputs[0]))}

    def _mixing(self) -> np.ndarray:
        """The 1x1 convolution, [in, multiplier, out]."""
        return self.layer.pointwise_kernel.numpy().reshape(self.inputs[0].channels, self.layer.depth_multiplier, -1)

    def _reads(self, taps: np.ndarray) -> np.ndarray:
        filters = np.any(by_tap(self.layer.depthwise_kernel)[taps.ravel()], axis=0)
        return (filters[:, :, None] & (self._mixing() != 0)).any(axis=1)

    def _gain(self, rows: np.ndarray) -> np.ndarray:
        sums = by_tap(self.layer.depthwise_kernel)[:, rows].sum(axis=0, dtype=np.float64)
        return np.einsum("im,imo->io", sums, self._mixing()[rows].astype(np.float64))

    def _kernel_cuts(self, kept_in: np.ndarray, kept_out: np.ndarray) -> list[Cut]:
        layer = self.layer
        return [
            Cut.of_last_axes(layer.depthwise_kernel.shape, kept_in, None),
            Cut.of_last_axes(layer.pointwise_kernel.shape, np.repeat(kept_in, layer.depth_multiplier), kept_out),
        ]


class Depthwise(Rule):
    """A depthwise convolution: channel i of the input becomes channels i·m to i·m + m - 1 of the output, and is kept
    or removed with them."""

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        kernel = by_tap(self.layer.depthwise_kernel)
        unsafe = np.any(kernel[~safe_taps_of(self.layer, self.inputs[0]).ravel()], axis=0)
        constant = inputs[0][:, None]
        known = ~np.any(kernel, axis=0) | (constant == 0) | (~np.isnan(constant) & ~unsafe)
        values = np.where(known, np.nan_to_num(constant) * kernel.sum(axis=0, dtype=np.float64), np.nan).ravel()
        values = values + (self.layer.bias.numpy() if self.layer.use_bias else 0.0)
        if not is_pointwise(self.layer.activation):
            return [np.full(values.shape, np.nan)]
        return [at_constants(self.layer.activation, values) if self.layer.activation else values]

    def kernels(self, atoms: Atoms) -> dict[str, tuple[np.ndarray | None, np.ndarray]]:
        return {"depthwise_kernel": (None, atoms(self.outputs[0]))}

    def tied(self, atoms: Atoms):
        yield np.repeat(atoms(self.inputs[0]), self.layer.depth_multiplier), atoms(self.outputs[0])

    def pinned(self, atoms: Atoms):
        if not is_pointwise(self.layer.activation):
            yield atoms(self.outputs[0])

    def cuts(self, kept_in: list[np.ndarray], kept_out: np.ndarray) -> list[Cut]:
        bias = [Cut.of_last_axes(self.layer.bias.shape, kept_out)] if self.layer.use_bias else []
        return [Cut.of_last_axes(self.layer.depthwise_kernel.shape, kept_in[0], None), *bias]

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        """Whether the rule is for this call."""
        return len(inputs) == 1 and inputs[0].axis == -1


def by_tap(kernel: tf.Variable) -> np.ndarray:
    """The kernel [*window, in, out] as [taps, in, out]."""
    return kernel.numpy().reshape(-1, *kernel.shape[-2:])


def safe_taps_of(layer: keras.layers.Layer, read: Tensor) -> np.ndarray:
    """`safe_taps` of a convolution of one tensor, [*kernel_size]."""
    return safe_taps(layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding, read.shape[1:-1])
