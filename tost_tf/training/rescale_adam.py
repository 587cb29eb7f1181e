"""Adam on the scales, for two alternating kinds of steps."""

from __future__ import annotations

import numpy as np

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class ScaleAdam:
    """Adam for a vector of scales, with clipped gradients and lower bounds, as GradInit uses it (Zhu et al. 2021).

    Steps that lower the loss and steps that lower the gradient norm have separate first moments and counters. They
    share the second moment, whose bias correction counts both kinds.

    Args:
      lower_bounds: one for each scale.
      learning_rate: of Adam.
      clip: gradients are clipped to [-clip, clip].
    """

    def __init__(self, lower_bounds: np.ndarray, learning_rate: float = 1e-2, clip: float = 1.0):
        self.scales = np.ones(len(lower_bounds))
        self.lower_bounds, self.learning_rate, self.clip = np.asarray(lower_bounds, float), learning_rate, clip
        self._first = {kind: np.zeros(len(lower_bounds)) for kind in ("loss", "norm")}
        self._count = {"loss": 0, "norm": 0}
        self._second = np.zeros(len(lower_bounds))

    def step(self, gradient: np.ndarray, kind: str) -> None:
        """Updates `scales`; `kind` is "loss" or "norm"."""
        gradient = np.clip(gradient, -self.clip, self.clip)
        self._count[kind] += 1
        self._first[kind] = BETA_1 * self._first[kind] + (1 - BETA_1) * gradient
        self._second = BETA_2 * self._second + (1 - BETA_2) * gradient**2
        first = self._first[kind] / (1 - BETA_1 ** self._count[kind])
        second = self._second / (1 - BETA_2 ** sum(self._count.values()))
        moved = self.scales - self.learning_rate * first / (np.sqrt(second) + EPSILON)
        self.scales = np.maximum(moved, self.lower_bounds)
