"""The size of each layer of a model, before and after compaction."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from tost_tf.compaction.graph import Graph
from tost_tf.compat import keras, tf
from tost_tf.compat.layers import variables_of
from tost_tf.graph.calls import Call

HARDLY_ANYTHING = 0.01
WEIGHTED = (
    *(getattr(keras.layers, f"{kind}{n}D") for kind in ("Conv", "DepthwiseConv", "SeparableConv") for n in (1, 2)),
    *(keras.layers.Conv3D, keras.layers.Dense),
    *(keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose),
)


@dataclasses.dataclass(frozen=True)
class LayerSize:
    """Output channels of a convolution or Dense layer, and multiply-accumulates for one image over all its calls.

    `macs` is `None` if the model takes images of any size.
    """

    channels: int
    macs: int | None


@dataclasses.dataclass(frozen=True)
class CompactionReport:
    """What was removed.

    Attributes:
      before, after: by layer name; a removed layer is missing in `after`.
      uncounted: names of layers with other kinds of kernels (attention, recurrent, ...), which no number includes.
    """

    before: dict[str, LayerSize]
    after: dict[str, LayerSize]
    uncounted: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[int, int]:
        """Output channels of all layers with weights, before and after."""
        return tuple(sum(size.channels for size in sizes.values()) for sizes in (self.before, self.after))

    @property
    def macs(self) -> tuple[int | None, int | None]:
        """Multiply-accumulates for one image, before and after; `None` if the model takes images of any size."""
        return tuple(_total([size.macs for size in sizes.values()]) for sizes in (self.before, self.after))

    @property
    def removed_fraction(self) -> float:
        """The fraction of channels that was removed, 0 to 1."""
        before, after = self.channels
        return 1 - after / before if before else 0.0

    def summary(self) -> str:
        """One line."""
        (channels, channels_after), (macs, macs_after) = self.channels, self.macs
        text = f"{channels:,} channels to {channels_after:,}, {len(self.before)} layers to {len(self.after)}"
        if macs:
            text += f", {macs:,} MACs to {macs_after:,} ({macs_after / macs:.1%})"
        if self.uncounted:
            text += f", not counting {', '.join(self.uncounted)}"
        if self.removed_fraction < HARDLY_ANYTHING:
            return f"hardly anything could be removed: {self.removed_fraction:.1%} of the channels ({text})"
        return text

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a JSON file."""
        nothing = LayerSize(0, 0)
        after = {name: self.after.get(name, nothing) for name in self.before}
        return {
            "summary": self.summary(),
            "channels": list(self.channels),
            "macs": list(self.macs),
            "uncounted": list(self.uncounted),
            "layers": {
                name: {"channels": [size.channels, after[name].channels], "macs": [size.macs, after[name].macs]}
                for name, size in self.before.items()
            },
        }


def layer_sizes(graph: Graph) -> dict[str, LayerSize]:
    """Name -> size, for each convolution and Dense layer of a graph."""
    channels: dict[str, int] = {}
    macs: dict[str, list[int | None]] = {}
    shapes = dict(zip(graph.inputs, graph.input_shapes, strict=True))
    for call in graph.calls:
        shapes |= dict(zip(call.outputs, call.output_shapes, strict=True))
        if isinstance(call.layer, WEIGHTED):
            channels[call.layer.name] = _channels(call)
            macs.setdefault(call.layer.name, []).append(_macs(call, shapes[call.inputs[0]]))
    return {name: LayerSize(size, _total(macs[name])) for name, size in channels.items()}


def uncounted_layers(graph: Graph) -> tuple[str, ...]:
    """Names of layers with kernels that `layer_sizes` does not know."""
    others = (call.layer for call in graph.calls if not isinstance(call.layer, WEIGHTED))
    return tuple(dict.fromkeys(layer.name for layer in others if any(map(_is_kernel, variables_of(layer)))))


def _channels(call: Call) -> int:
    axis = 1 if getattr(call.layer, "data_format", None) == "channels_first" else -1
    return call.output_shapes[0][axis]


def multiply_adds(model: keras.Model) -> tuple[int | None, int | None]:
    """Multiply-accumulates of convolutions and Dense layers for one image: of all weights, and of non-zero weights.

    `None` if the model takes images of any size.

    Raises:
      TostError: `model` is not a functional or Sequential model.
    """
    graph, totals = Graph(model), ([], [])
    shapes = dict(zip(graph.inputs, graph.input_shapes, strict=True))
    for call in graph.calls:
        shapes |= dict(zip(call.outputs, call.output_shapes, strict=True))
        if isinstance(call.layer, WEIGHTED):
            places = _places(call, shapes[call.inputs[0]])
            kernels = [weight.numpy() for weight in call.layer.weights if _is_kernel(weight)]
            counts = (sum(kernel.size for kernel in kernels), sum(map(np.count_nonzero, kernels)))
            for total, count in zip(totals, counts, strict=True):
                total.append(None if places is None else places * int(count))
    return _total(totals[0]), _total(totals[1])


def _macs(call: Call, input_shape: tuple[int | None, ...]) -> int | None:
    """Each weight of a kernel is counted once for each position of the kernel."""
    places = _places(call, input_shape)
    weights = sum(math.prod(weight.shape) for weight in call.layer.weights if _is_kernel(weight))
    return None if places is None else places * weights


def _places(call: Call, input_shape: tuple[int | None, ...]) -> int | None:
    """The number of positions of a kernel: pixels of the output, for a transposed convolution pixels of the input."""
    layer = call.layer
    transposed = "Transpose" in type(layer).__name__
    shape = (input_shape if transposed else call.output_shapes[0])[1:]
    first = getattr(layer, "data_format", None) == "channels_first"
    places = shape[1:] if first else shape[:-1]
    return None if None in places else math.prod(places)


def _is_kernel(weight: tf.Variable) -> bool:
    return "kernel" in weight.name.rpartition("/")[2]


def _total(numbers: list[int | None]) -> int | None:
    return None if None in numbers else sum(numbers)
