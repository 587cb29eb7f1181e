"""How a kernel is divided into cells, these into units, and these into weights."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tost_tf.graph.kernel_kinds.kind import Axes


@dataclasses.dataclass(frozen=True)
class Division:
    """A kernel as an array [cells, units, weights].

    A unit is kept or removed as a whole. Each cell of a kernel keeps the same number of its units.

    Attributes:
      shape: of the kernel.
      order: its axes, in the order in which they are split.
      split: the shape they are split into.
      cells, units, weights: the axes of `split` that number the cells, the units of a cell, and the weights of a unit.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    split: tuple[int, ...]
    cells: tuple[int, ...] = ()
    units: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The number of cells, of units in a cell, and of weights in a unit."""
        cells, units, weights = (
            math.prod(self.split[axis] for axis in axes) for axes in (self.cells, self.units, self.weights)
        )
        return cells, units, weights

    @property
    def step(self) -> int:
        """The number of kept weights changes by multiples of this."""
        return self.sizes[0] * self.sizes[2]

    def grouped(self, kernel: np.ndarray) -> np.ndarray:
        """An array of the kernel's shape as [cells, units, weights]."""
        parts = kernel.transpose(self.order).reshape(self.split)
        return parts.transpose(self.cells + self.units + self.weights).reshape(self.sizes)

    def ungrouped(self, grouped: np.ndarray) -> np.ndarray:
        """The inverse of `grouped`."""
        axes = self.cells + self.units + self.weights
        parts = grouped.reshape([self.split[axis] for axis in axes]).transpose(np.argsort(axes))
        return parts.reshape([self.shape[axis] for axis in self.order]).transpose(np.argsort(self.order))

    def summed(self, scores: np.ndarray) -> np.ndarray:
        """The scores of units, [cells, units]: the sums over their weights; -inf if one of these is."""
        grouped = self.grouped(scores)
        return grouped[..., 0] if grouped.shape[-1] == 1 else grouped.sum(axis=-1, dtype=np.float64)

    def mask(self, kept: np.ndarray) -> np.ndarray:
        """From whether units are kept, [cells, units], to the kernel's mask, uint8."""
        return self.ungrouped(np.broadcast_to(kept[..., None], self.sizes).astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class Channels:
    """The axes of a kernel, sorted: those of its window (and all others), of its inputs, and of its outputs.

    Each output of a depthwise kernel reads one input: the axis of its inputs has the size 1.
    """

    order: tuple[int, ...]
    window: int
    inputs: int
    outputs: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.window, self.inputs, self.outputs

    def sorted(self, kernel: np.ndarray) -> np.ndarray:
        """An array of the kernel's shape as [window, inputs, outputs]."""
        return kernel.transpose(self.order).reshape(self.sizes)


def channels_of(shape: tuple[int, ...], axes: Axes) -> Channels | None:
    """The axes of a kernel of this shape; `None` if it has no such axes."""
    if any(-axis > len(shape) for axis in (*axes[0], *axes[1])):
        return None
    outputs = sorted(axis % len(shape) for axis in axes[1])
    inputs = sorted({axis % len(shape) for axis in axes[0]} - set(outputs))
    window = [axis for axis in range(len(shape)) if axis not in (*inputs, *outputs)]
    sizes = [math.prod(shape[axis] for axis in part) for part in (window, inputs, outputs)]
    return Channels((*window, *inputs, *outputs), *sizes)
