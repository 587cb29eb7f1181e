"""Measurements during training, for `tost-analyze`: gradient flow and the largest eigenvalues of the Hessian."""

from __future__ import annotations

import numpy as np

from tost_tf.analysis.gradient_flow import gradient_flow
from tost_tf.analysis.hessian import MaskedHessian, top_eigenvalues
from tost_tf.compat import keras
from tost_tf.experiment.machine import RecordConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.rows import RecordedRows, read_rows, write_rows
from tost_tf.steps import StepCallback

EIGENVALUES = 3
LANCZOS_STEPS = 15


class RecordGradientFlow(StepCallback):
    """Measures the average gradient flow of the view in use after every `every` steps.

    Each measurement costs one more gradient, always on the same images. Rows of `step` (from 1, over all epochs),
    `epoch` and `flow` are written immediately. A resumed run removes the rows of steps that are trained again.

    Args:
      directory: of the run.
      batch: images and one-hot labels.
      loss: of labels and logits.
      every: steps between measurements.
      steps_per_epoch: steps in an epoch.
    """

    def __init__(
        self,
        directory: RunDirectory,
        batch: tuple[np.ndarray, np.ndarray],
        loss: keras.losses.Loss,
        every: int,
        steps_per_epoch: int,
    ):
        super().__init__(steps_per_epoch)
        self.batch, self.loss, self.every = batch, loss, every
        self._rows = RecordedRows(directory.analysis, "gradient_flow")
        self._newest: dict = {}

    def on_train_batch_end(self, batch, logs=None):
        step = self.step(batch)
        if step.done % self.every == 0:
            flow = gradient_flow(self.model, *self.batch, self.loss)
            self._newest = {"step": step.done, "epoch": step.epoch + 1, "flow": flow}
            self._rows.add(self._newest)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and self._newest.get("epoch") == epoch + 1:
            logs["gradient_flow"] = self._newest["flow"]  # for TensorBoard


class RecordHessian(keras.callbacks.Callback):
    """Measures the Hessian's largest eigenvalues for the view in use after every `every` epochs, and after the first.

    Each time, rows of `epoch`, `index`, `eigenvalue` and `residual` are written.

    Args:
      directory: of the run.
      batch: images and one-hot labels.
      every: epochs between measurements.
    """

    def __init__(self, directory: RunDirectory, batch: tuple[np.ndarray, np.ndarray], every: int):
        super().__init__()
        self.folder, self.batch, self.every = directory.analysis, batch, every
        self._hessians: dict[bool, MaskedHessian] = {}  # kept by view, since tracing takes longer than measuring

    def on_epoch_end(self, epoch, logs=None):
        if epoch and (epoch + 1) % self.every:
            return
        active = self.model.ghosts_active
        if active not in self._hessians:
            self._hessians = {active: MaskedHessian(self.model, *self.batch)}
        self._hessians[active].weights.read_masks()
        measured, _ = top_eigenvalues(self._hessians[active], EIGENVALUES, LANCZOS_STEPS)
        earlier = [row for row in read_rows(self.folder, "trajectory") if row["epoch"] <= epoch]
        write_rows(self.folder, "trajectory", [*earlier, *({"epoch": epoch + 1, **row} for row in measured)])


def recorders(
    config: RecordConfig,
    directory: RunDirectory,
    batch: tuple[np.ndarray, np.ndarray],
    loss: keras.losses.Loss,
    steps_per_epoch: int,
) -> list[keras.callbacks.Callback]:
    """The callbacks for the measurements that are requested; by default none."""
    callbacks = []
    if config.gradient_flow_every:
        callbacks.append(RecordGradientFlow(directory, batch, loss, config.gradient_flow_every, steps_per_epoch))
    if config.hessian_every:
        callbacks.append(RecordHessian(directory, batch, config.hessian_every))
    return callbacks
