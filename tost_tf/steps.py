"""The steps of training, counted over all epochs."""

from __future__ import annotations

import dataclasses

from tost_tf.compat import keras


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of training.

    What a callback does should depend on the step alone: then a run that was stopped and resumed does what one would
    that was never stopped.

    Attributes:
      epoch: that it belongs to, counted from 0.
      batch: of that epoch, counted from 0.
      steps_per_epoch: steps in an epoch.
    """

    epoch: int
    batch: int
    steps_per_epoch: int

    @property
    def number(self) -> int:
        """How many steps come before it, in all epochs."""
        return self.epoch * self.steps_per_epoch + self.batch

    @property
    def done(self) -> int:
        """How many steps are done after it, in all epochs."""
        return self.number + 1


class StepCallback(keras.callbacks.Callback):
    """A callback that knows which step `fit` is at.

    Args:
      steps_per_epoch: steps in an epoch.
    """

    def __init__(self, steps_per_epoch: int):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch

    def step(self, batch: int) -> Step:
        """The step at a batch (counted from 0) of the epoch that has begun last."""
        return Step(self._epoch, batch, self.steps_per_epoch)
