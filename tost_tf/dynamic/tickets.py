"""The callbacks of the last epochs: cycles that each end with a ticket."""

from __future__ import annotations

from pathlib import Path

from tost_tf.compat import keras
from tost_tf.dynamic.growth import Growth
from tost_tf.dynamic.options import SuperposeConfig
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.errors import TostError
from tost_tf.graph.weights import save_weights
from tost_tf.masks.sparsify import strip
from tost_tf.steps import Step, StepCallback
from tost_tf.training.learning_rate import triangle


def require_settable_rate(optimizer: keras.optimizers.Optimizer) -> None:
    """Raises `TostError` if an optimizer follows a schedule of its own, as cycles set its learning rate."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(getattr(inner, "_learning_rate", None), keras.optimizers.schedules.LearningRateSchedule):
        raise TostError(
            f"cycles set the learning rate, and that of {type(inner).__name__} is a schedule: compile it with a "
            "number, and let a callback such as keras.callbacks.LearningRateScheduler change it before the cycles"
        )


def ticket_path(folder: Path, number: int) -> Path:
    """The file of ticket `number`; 0 is the end of ordinary training."""
    return folder / f"ticket{number}.npz"


class Cycles(StepCallback):
    """Updates the masks at the start of a cycle, and sets the learning rate.

    A cycle starts with one large update of the masks; growth by gradient uses the dense gradient of the step before.
    Training continues with its weights: tickets are superposed afterwards.

    Args:
      updater: of the network's masks.
      config: the cycles.
      growth: scores the weights that may grow; `None` leaves the masks unchanged.
      epochs: of the run.
      steps_per_epoch: steps in an epoch.

    Attributes:
      ordinary: the number of epochs before the first cycle.
    """

    def __init__(
        self, updater: MaskUpdater, config: SuperposeConfig, growth: Growth | None, epochs: int, steps_per_epoch: int
    ):
        super().__init__(steps_per_epoch)
        self.updater, self.config, self.growth = updater, config, growth
        self.ordinary = config.ordinary_epochs(epochs)

    def ticket_after(self, epoch: int) -> int | None:
        """The number of the ticket that an epoch (from 0) ends with, 0 before the cycles; `None` if there is none."""
        done = epoch + 1 - self.ordinary
        return done // self.config.cycle_epochs if done >= 0 and done % self.config.cycle_epochs == 0 else None

    def on_train_batch_begin(self, batch, logs=None):
        step = self.step(batch)
        if step.epoch < self.ordinary:
            return
        in_cycle = Step((step.epoch - self.ordinary) % self.config.cycle_epochs, batch, self.steps_per_epoch)
        if in_cycle.number == 0 and self.growth is not None:
            self.updater.update(self.growth, self.config.cycle_drop_fraction, step.number)
        progress = in_cycle.number / (self.config.cycle_epochs * self.steps_per_epoch)
        rate = triangle(progress, self.config.cycle_low_learning_rate, self.config.cycle_high_learning_rate)
        self.model.optimizer.learning_rate = rate


class SaveTickets(keras.callbacks.Callback):
    """Saves the ticket at the end of each cycle, and at that of ordinary training.

    Args:
      cycles: which end with tickets.
      folder: of the tickets.
    """

    def __init__(self, cycles: Cycles, folder: Path):
        super().__init__()
        self.cycles, self.folder = cycles, folder

    def on_epoch_end(self, epoch, logs=None):
        number = self.cycles.ticket_after(epoch)
        if number is not None:
            save_weights(strip(self.model.plain), ticket_path(self.folder, number))
