"""The callback that stops a run in the middle of an epoch, and resumes there."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from tost_tf.compat import keras
from tost_tf.compat.fit import start_fit_at_step
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.epoch_progress import EpochProgress
from tost_tf.experiment.run.stop import Stopped


class WithinEpoch(keras.callbacks.Callback):
    """When a stop is requested, writes a checkpoint at the end of the step and raises `Stopped`.

    After the last step of an epoch it waits for validation and the checkpoint of the epoch, so this callback must come
    after `SaveCheckpoints`. A checkpoint within an epoch is written only if all weights are finite.

    Args:
      checkpoints: of the run.
      stop_requested: returns the signal that stops the run, or `None`; called after every step.
      steps_per_epoch: steps in an epoch.
      progress: from which the first epoch resumes, `None` for its start.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        stop_requested: Callable[[], int | None],
        steps_per_epoch: int,
        progress: EpochProgress | None = None,
    ):
        super().__init__()
        self.checkpoints, self.stop_requested, self.steps_per_epoch = checkpoints, stop_requested, steps_per_epoch
        self._progress = progress

    def on_train_begin(self, logs=None):
        if self._progress:
            start_fit_at_step(self.model, self._progress.step)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._start = epoch, time.perf_counter()
        if self._progress:
            # Keras has just set the metrics to zero.
            self._progress.put_into(self.model)
            self._start -= self._progress.seconds
            self._progress = None

    def on_train_batch_end(self, batch, logs=None):
        done = batch + 1
        signal = self.stop_requested() if done < self.steps_per_epoch else None
        if signal is None:
            return
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            raise Stopped(signal)
        progress = EpochProgress.of(self.model, done, time.perf_counter() - self._start)
        self.checkpoints.save_within(self._epoch, progress)
        raise Stopped(signal, f"step {done} of epoch {self._epoch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        signal = self.stop_requested()
        if signal is not None:
            raise Stopped(signal, f"epoch {epoch + 1}")
