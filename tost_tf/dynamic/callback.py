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
    """Updates the masks after every `update_every` steps, until a fraction of the training is over.

    The dense gradient by which weights grow is that of the step itself, which the optimizer keeps (`MaskedOptimizer`
    says how): no second pass is made. What is done depends on the number of the step alone, so that a run that resumes
    does what an undisturbed one would. Each update gives a row to `record`: `step`, `epoch`, `fraction`, `dropped`,
    `grown`, `sparsity` (of the layers that are not left dense), and `initial` (the share of the initial masks' weights
    that is still in).

    Args:
      updater: of the network's masks.
      config: the method, how often and how much.
      last_step: after which the last update comes.
      end_step: where the phase in which masks change ends, and the cosine of the share dropped is zero.
      steps_per_epoch: steps in an epoch.
      sparsity: what a method that prunes ends at.
      initial: the masks training started with: weight path -> 0/1.
      record: takes the row of each update.
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
