"""How many weights a selection keeps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Quota:
    """The numbers of weights to keep. Where whole units cannot give a number, the nearest one is kept.

    Attributes:
      alone: weight path -> number, of kernels that are rounded each by itself.
      shares: weight path -> number, of kernels whose sum is rounded.
      together: number for all other kernels together; their weights are ranked together.
    """

    alone: Mapping[str, int] = dataclasses.field(default_factory=dict)
    shares: Mapping[str, int] = dataclasses.field(default_factory=dict)
    together: int = 0

    @property
    def total(self) -> int:
        """The number for all kernels."""
        return sum(self.alone.values()) + sum(self.shares.values()) + self.together


def nearest(count: float, step: int) -> int:
    """How many steps of a size are nearest to a number; at least one, unless that is zero."""
    return max(round(count / step), int(count > 0))


def nearest_together(shares: Mapping[str, int], steps: Mapping[str, int], limits: Mapping[str, int]) -> dict[str, int]:
    """As `nearest` for several numbers, so that the sum is nearest: the largest remainders are rounded up.

    Args:
      shares: path -> number of weights.
      steps: path -> size of a step.
      limits: path -> the most steps there can be.
    """
    steps_of = {path: max(math.floor(share / steps[path]), int(share > 0)) for path, share in shares.items()}
    missing = sum(shares.values()) - sum(steps_of[path] * steps[path] for path in shares)
    while True:
        sign = 1 if missing > 0 else -1
        free = [
            path
            for path in shares
            if steps[path] < 2 * abs(missing)
            and (steps_of[path] < limits[path] if sign > 0 else steps_of[path] > 1 and shares[path])
        ]
        if not free:
            return steps_of
        path = max(free, key=lambda path: sign * (shares[path] / steps[path] - steps_of[path]))
        steps_of[path] += sign
        missing -= sign * steps[path]
