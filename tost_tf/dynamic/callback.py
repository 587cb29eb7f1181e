"""The callback that changes masks while a network trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tost_tf.dynamic.options import DynamicConfig
from tost_tf.dynamic.schedules import cubic_sparsity, drop_fraction
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.steps import Step, StepCallback

ROWS = "mask_updates"


class DynamicSparsity(StepCallback):
    """Updates the masks after every `update_every` steps, until a given fraction of the training.

    Weights grow by the dense gradient of the training step itself, which the optimizer keeps (see `MaskedOptimizer`):
    there is no second pass. An update depends only on the number of the step and the state of the network, so a resumed
    run does the same as an uninterrupted one. `record` gets a row for each update: `step`, `epoch`, `fraction`,
    `dropped`, `grown`, `sparsity` (of the layers that are not left dense), and `initial` (the fraction of the initially
    kept weights that is still kept).

    Args:
      updater: of the network's masks.
      config: the method, how often and how much.
      last_step: the number (from 1) of the step after which the last update is made.
      end_step: the last step of the phase in which masks change; there the cosine of the drop fraction is zero.
      steps_per_epoch: steps in an epoch.
      sparsity: the final sparsity of a method that prunes.
      initial: the masks at the start of training: weight path -> 0/1.
      record: called with the row of each update.
    """

    def __init__(
        self,
        updater: MaskUpdater,
        config: DynamicConfig,
        *,
        last_step: int,
        end_step: int,
        steps_per_epoch: int,
        sparsity: float,
        initial: Mapping[str, np.ndarray],
        record: Callable[[dict], None],
    ):
        super().__init__(steps_per_epoch)
        self.updater, self.config, self.method = updater, config, config.method
        self.last_step, self.end_step = last_step, end_step
        self.sparsity = sparsity
        self.initial = {path: initial[path] for path in updater.layers}
        self.record = record

    def on_train_batch_end(self, batch, logs=None):
        step = self.step(batch)
        if step.done <= self.last_step and step.done % self.config.update_every == 0:
            self._update(step)

    def _update(self, step: Step) -> None:
        fraction = drop_fraction(self.config.drop_fraction, step.done / self.end_step, self.config.drop_schedule)
        sparsity = None
        if self.method.prunes:
            sparsity = cubic_sparsity(self.config.initial_sparsity, self.sparsity, step.done / self.last_step)
        done = self.updater.update(self.method.growth, fraction, step.done, sparsity, self.method.drop_score)
        masks = self.updater.masks()
        size = sum(mask.size for mask in masks.values())
        still = sum(int((mask & self.initial[path]).sum()) for path, mask in masks.items())
        row = {
            "step": step.done,
            "epoch": step.epoch + 1,
            "fraction": fraction,
            "dropped": done.dropped,
            "grown": done.grown,
            "sparsity": 1 - done.kept / size,
            "initial": still / max(1, sum(int(mask.sum()) for mask in self.initial.values())),
        }
        self.record(row)
