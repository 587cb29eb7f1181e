"""Any weights."""

from __future__ import annotations

import dataclasses
import math

from tost_tf.graph.kernel_kinds.kind import Axes
from tost_tf.masks.patterns.division import Division
from tost_tf.masks.patterns.pattern import Pattern


@dataclasses.dataclass(frozen=True)
class Unstructured(Pattern):
    """Each weight is a unit."""

    form = "unstructured"

    def divide(self, shape: tuple[int, ...], axes: Axes) -> Division:
        return Division(shape, tuple(range(len(shape))), (math.prod(shape),), units=(0,))
