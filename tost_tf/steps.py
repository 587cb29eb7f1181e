"""The steps of training, counted over all epochs."""

from __future__ import annotations

import dataclasses

from tost_tf.compat import keras
from tost_tf.compat.fit import steps_at_once
from tost_tf.errors import TostError
from tost_tf.ranges import require_number


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


def require_single_steps(callback: keras.callbacks.Callback) -> None:
    """Raises `TostError` if `fit` calls a callback only after several steps, which would pass some by."""
    if steps_at_once(callback.model) > 1:
        raise TostError(
            f"{type(callback).__name__} acts after single steps, and {callback.model.name} is compiled with "
            f"steps_per_execution={steps_at_once(callback.model)}: compile it with 1"
        )


class StepCallback(keras.callbacks.Callback):
    """A callback that knows the current step of `fit`.

    Args:
      steps_per_epoch: steps in an epoch; `None` for what `fit` knows of its data.

    Raises:
      TostError: `steps_per_epoch` is not a whole number of at least 1.
    """

    def __init__(self, steps_per_epoch: int | None = None):
        super().__init__()
        if steps_per_epoch is not None:
            require_number("steps_per_epoch", steps_per_epoch, whole=True, minimum=1)
        self.given_steps = self.steps_per_epoch = steps_per_epoch
        self._epoch = 0

    def set_params(self, params: dict) -> None:
        super().set_params(params)
        if self.given_steps is None:
            self.steps_per_epoch = params.get("steps")

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.step(0)  # to say so at once if the steps are not known

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch

    def step(self, batch: int) -> Step:
        """The step at a batch (counted from 0) of the epoch that has begun last.

        Raises:
          TostError: it is not known how many steps an epoch has.
        """
        if self.steps_per_epoch is None:
            raise TostError(
                f"{type(self).__name__} has to know how many steps an epoch has, and the data does not tell: give "
                "steps_per_epoch to it or to fit"
            )
        return Step(self._epoch, batch, self.steps_per_epoch)
