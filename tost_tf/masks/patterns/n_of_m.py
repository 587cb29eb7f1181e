"""N of M consecutive inputs."""

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

LARGEST_FOUND = 32


@dataclasses.dataclass(frozen=True)
class NOfM(Pattern):
    """Exactly N weights of any M consecutive inputs of an output are kept, at each place of the window.

    It fixes the sparsity, 1 - N/M, in every layer. 2:4 is NVIDIA's (Mishra et al. 2021, "Accelerating Sparse Deep
    Neural Networks"). tensorflow-model-optimization counts zeros: its `sparsity_m_by_n=(M - N, M)` is the same.

    Attributes:
      kept: N.
      size: M.
    """

    kept: int = 2
    size: int = 4
    form = "N:M"
    has_scope = False
    has_layer_sparsity = False

    @property
    def text(self) -> str:
        return f"{self.kept}:{self.size}"

    @property
    def sparsity(self) -> float:
        return 1 - self.kept / self.size

    @classmethod
    def parse(cls, text: str) -> NOfM | None:
        match = re.fullmatch(r"(\d{1,6}):(\d{1,6})", text)
        if match is None:
            return None
        kept, size = int(match[1]), int(match[2])
        if not 0 < kept < size:
            raise TostError(f"the mask pattern {text!r} keeps N of M: N must be at least 1 and below M")
        return cls(kept, size)

    @classmethod
    def find(cls, kernels: Sequence[tuple[np.ndarray, Axes]]) -> NOfM | None:
        """The one with the smallest M, up to 32; not that of all inputs of Dense kernels, which is constant fan-in."""
        every = [channels_of(mask.shape, axes) for mask, axes in kernels]
        if not every or None in every:
            return None
        common, (first, _) = math.gcd(*(channels.inputs for channels in every)), kernels[0]
        largest = common - all(channels.inputs == common and channels.window == 1 for channels in every)
        for size in range(2, min(largest, LARGEST_FOUND) + 1):
            kept = first.mean() * size
            if common % size or abs(kept - round(kept)) > 1e-9 or not 0 < round(kept) < size:
                continue
            pattern = cls(round(kept), size)
            if all(pattern.holds(mask, axes) for mask, axes in kernels):
                return pattern
        return None

    @property
    def needs(self) -> str:
        return f"multiples of {self.size} inputs"

    def divide(self, shape: tuple[int, ...], axes: Axes) -> Division | None:
        channels = channels_of(shape, axes)
        if channels is None or channels.inputs % self.size:
            return None
        split = (channels.window, channels.inputs // self.size, self.size, channels.outputs)
        return Division(shape, channels.order, split, cells=(0, 1, 3), units=(2,))

    def at(self, sparsity: float) -> NOfM:
        """As many of M as are nearest to a sparsity that is lower, but fewer than all."""
        kept = min(max(round((1 - sparsity) * self.size), self.kept), self.size - 1)
        return NOfM(kept, self.size)
