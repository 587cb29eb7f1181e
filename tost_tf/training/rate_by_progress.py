"""A learning rate that changes at every step."""

from __future__ import annotations

from collections.abc import Callable

from tost_tf.steps import StepCallback


class RateByProgress(StepCallback):
    """Sets the learning rate before every step to `start` times a factor.

    The factor depends only on the number of the step, so a resumed run gets the rates of an uninterrupted one. After
    its last step the callback no longer sets the learning rate.

    Args:
      factor: a function of the progress in [0, 1), which before step i of n (counted from 0) is i/n.
      start: the learning rate at factor 1.
      steps: the number n of all steps.
      steps_per_epoch: steps in an epoch of `fit`.
    """

    def __init__(self, factor: Callable[[float], float], start: float, steps: int, steps_per_epoch: int):
        super().__init__(steps_per_epoch)
        self.factor, self.start, self.steps = factor, start, steps

    def on_train_batch_begin(self, batch, logs=None):
        step = self.step(batch).number
        if step < self.steps:
            self.model.optimizer.learning_rate = self.start * self.factor(step / self.steps)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["lr"] = float(
                self.model.optimizer.learning_rate.numpy()
            )  # for TensorBoard, as Keras's LearningRateScheduler does
