"""The interface of a method of dynamic sparse training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tost_tf.dynamic.growth import Growth


@dataclasses.dataclass(frozen=True)
class DynamicMethod:
    """Drops the weights of each layer with the lowest scores, and grows as many of all that are not kept then.

    Attributes:
      growth: scores the weights that may grow.
      drop_score: from a kernel to a score for each weight; |weight| by default.
      prunes: whether each update first prunes globally by magnitude, down to the sparsity of the run.
    """

    growth: Growth
    drop_score: Callable[[np.ndarray], np.ndarray] = np.abs
    prunes: bool = False
