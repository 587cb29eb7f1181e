"""Callbacks of a run: stopping on a loss that is not finite, the table of epochs, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from tost_tf.compat import keras
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.folder import OPTIONAL, RunDirectory
from tost_tf.graph.kernels import prunable_weights
from tost_tf.progress import duration_text

LATEST = 5  # epochs from whose durations the time left is estimated: epochs with ghosts are longer


class NonFiniteLoss(ArithmeticError):
    """The loss, or a weight, is no longer a finite number.

    Attributes:
      epoch: its epoch, counted from 1.
      step: its step within the epoch, counted from 1.
      value: the value that is not finite.
    """

    def __init__(self, epoch: int, step: int, value: float, what: str = "the loss"):
        super().__init__(f"{what} is {value} in epoch {epoch}, step {step}")
        self.epoch, self.step, self.value = epoch, step, value


class StopOnNonFiniteLoss(keras.callbacks.TerminateOnNaN):
    """Raises `NonFiniteLoss` at the step where it happens, so that nothing of that epoch is saved.

    The training loss does not include the effect of the last update of an epoch; the validation loss does. An infinite
    variance of BatchNormalization shows in neither, so the weights are checked too at the end of an epoch.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise NonFiniteLoss(self._epoch + 1, batch + 1, loss)
        self._steps = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        loss = float(logs.get("val_loss", logs["loss"]))
        if not math.isfinite(loss):
            raise NonFiniteLoss(epoch + 1, self._steps, loss)
        for weight, value in zip(self.model.weights, self.model.get_weights(), strict=True):
            bad = value[~np.isfinite(value)]
            if bad.size:
                raise NonFiniteLoss(epoch + 1, self._steps, float(bad[0]), weight.name.removesuffix(":0"))


class EpochTable(keras.callbacks.Callback):
    """Writes a row of `metrics.csv` after every epoch, and prints an estimate of the time left.

    Args:
      directory: of the run.
      plain: the model without ghosts, to measure its sparsity.
      epochs: the number of epochs of the run.
      seconds_before: the time spent on the first epoch before the run was stopped in it.
    """

    def __init__(self, directory: RunDirectory, plain: keras.Model, epochs: int, seconds_before: float = 0.0):
        super().__init__()
        self._seconds_before = seconds_before
        self.directory, self.plain, self.epochs = directory, plain, epochs
        self._durations: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        if not self._durations:
            # Rows of epochs after the checkpoint are removed: these epochs are trained again.
            self.directory.write_metrics([row for row in self.directory.read_metrics() if row["epoch"] <= epoch])
        self._start = time.perf_counter() - self._seconds_before
        self._seconds_before = 0.0
        self._first_step = None

    def on_train_batch_end(self, batch, logs=None):
        self._last_step = (batch, time.perf_counter())
        self._first_step = self._first_step or self._last_step

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._start
        names = ("loss", "accuracy", "val_loss", "val_accuracy", "alpha", "beta")
        row = {name: float(logs[name]) for name in names}
        row |= {
            **{name: logs.get(name) for name in OPTIONAL},
            "epoch": epoch + 1,
            "learning_rate": float(self.model.optimizer.learning_rate.numpy()),
            "sparsity": measured_sparsity(self.plain),
            "seconds": round(seconds, 3),
        }
        self.directory.write_metrics([*self.directory.read_metrics(), row])
        self._durations.append(seconds)
        left = self.epochs - epoch - 1
        if left:
            typical = float(np.median(self._durations[1:][-LATEST:] or [self._without_tracing(seconds)]))
            print(f"  {epoch + 1} of {self.epochs} epochs, about {duration_text(left * typical)} left", flush=True)

    def _without_tracing(self, seconds: float) -> float:
        """The duration of the epoch if its first step, which includes tracing, had been as fast as the others."""
        (first, traced), (last, done) = self._first_step, self._last_step
        if last == first:
            return seconds
        after_last_step = self._start + seconds - done
        return (done - traced) / (last - first) * (last + 1) + after_last_step


class SaveCheckpoints(keras.callbacks.Callback):
    """Writes a checkpoint after every epoch.

    Args:
      checkpoints: of the run.
      may_be_best: takes an epoch (counted from 1), returns whether the weights after it may be exported.
    """

    def __init__(self, checkpoints: Checkpoints, may_be_best: Callable[[int], bool]):
        super().__init__()
        self.checkpoints, self.may_be_best = checkpoints, may_be_best

    def on_epoch_end(self, epoch, logs=None):
        self.checkpoints.save(epoch + 1, float(logs["val_accuracy"]), self.may_be_best(epoch + 1))


def measured_sparsity(model: keras.Model) -> float:
    """The fraction of the prunable weights of `model` that are zero now; 0 if it has none."""
    kernels = [weight.numpy() for weight in prunable_weights(model).values()]
    size = sum(kernel.size for kernel in kernels)
    return 1 - sum(np.count_nonzero(kernel) for kernel in kernels) / size if size else 0.0
