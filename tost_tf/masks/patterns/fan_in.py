"""As many weights for each filter."""

from __future__ import annotations

import dataclasses

from tost_tf.graph.kernel_kinds.kind import Axes
from tost_tf.masks.patterns.division import Division, channels_of
from tost_tf.masks.patterns.pattern import Pattern


@dataclasses.dataclass(frozen=True)
class FanIn(Pattern):
    """Each filter of a layer keeps the same number of weights, at least one (Lasby et al. 2024, "Dynamic Sparse
    Training with Structured Sparsity", Section 3: constant fan-in).

    How many is what the layer would keep without the pattern, divided by its filters and rounded so that all layers
    together keep the number that is nearest.
    """

    form = "fan_in"

    def divide(self, shape: tuple[int, ...], axes: Axes) -> Division | None:
        channels = channels_of(shape, axes)
        if channels is None:
            return None
        return Division(shape, channels.order, channels.sizes, cells=(2,), units=(0, 1))
