"""Blocks of input and output channels."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np

from tost_tf.errors import TostError
from tost_tf.graph.kernel_kinds.kind import Axes
from tost_tf.masks.patterns.division import Division, channels_of
from tost_tf.masks.patterns.pattern import Pattern


@dataclasses.dataclass(frozen=True)
class Block(Pattern):
    """Units of A consecutive inputs times B consecutive outputs, at one place of the window of a convolution.

    For kernels with two axes this is `block_size=(A, B)` of tensorflow-model-optimization. The number of kept weights
    is the multiple of A·B that is nearest.

    Attributes:
      inputs: A.
      outputs: B.
    """

    inputs: int = 1
    outputs: int = 1
    form = "block:AxB"

    @property
    def text(self) -> str:
        return f"block:{self.inputs}x{self.outputs}"

    @classmethod
    def parse(cls, text: str) -> Block | None:
        if not text.startswith("block"):
            return None
        match = re.fullmatch(r"block:(\d{1,6})x(\d{1,6})", text)
        if match is None or not int(match[1]) * int(match[2]):
            raise TostError(f"the mask pattern {text[:60]!r} is not block:AxB, such as block:4x1: A inputs, B outputs")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def find(cls, kernels: Sequence[tuple[np.ndarray, Axes]]) -> Block | None:
        """The largest block: its sides divide the sizes, and the places where kept and removed weights meet."""
        sides = [0, 0]
        for mask, axes in kernels:
            channels = channels_of(mask.shape, axes)
            if channels is None:
                return None
            kept = channels.sorted(mask)
            for number, axis in enumerate((1, 2)):
                others = tuple({0, 1, 2} - {axis})
                edges = np.flatnonzero((np.diff(kept.astype(np.int8), axis=axis) != 0).any(axis=others)) + 1
                sides[number] = math.gcd(sides[number], kept.shape[axis], *edges.tolist())
        return cls(*sides) if sides[0] * sides[1] > 1 else None

    @property
    def needs(self) -> str:
        return f"multiples of {self.inputs} inputs and of {self.outputs} outputs"

    def divide(self, shape: tuple[int, ...], axes: Axes) -> Division | None:
        channels = channels_of(shape, axes)
        if channels is None or channels.inputs % self.inputs or channels.outputs % self.outputs:
            return None
        down, across = channels.inputs // self.inputs, channels.outputs // self.outputs
        split = (channels.window, down, self.inputs, across, self.outputs)
        return Division(shape, channels.order, split, units=(0, 1, 3), weights=(2, 4))
