"""The steps of training, counted over all epochs."""

from __future__ import annotations

import dataclasses

from tost_tf.compat import keras


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of training.

    If a callback depends only on the step, a run that was stopped and resumed does the same as an uninterrupted one.

    Attributes:
      epoch: its epoch, counted from 0.
      batch: its number within the epoch, counted from 0.
      steps_per_epoch: steps in an epoch.
    """

    epoch: int
    batch: int
    steps_per_epoch: int

    @property
    def number(self) -> int:
        """The number of steps before it, over all epochs."""
        return self.epoch * self.steps_per_epoch + self.batch

    @property
    def done(self) -> int:
        """The number of steps up to and including it, over all epochs."""
        return self.number + 1


class StepCallback(keras.callbacks.Callback):
    """A callback that knows the current step of `fit`.

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
        """The step of a batch (counted from 0) in the current epoch."""
        return Step(self._epoch, batch, self.steps_per_epoch)
