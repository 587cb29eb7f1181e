"""The optimizer of a run, and the callback that sets its learning rate."""

from __future__ import annotations

from collections.abc import Sequence

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.experiment.recipe import NO_TWEAK, Recipe
from tost_tf.experiment.training_options import STEP_SCHEDULE, TrainingConfig
from tost_tf.registry import OPTIMIZER_TWEAKS, OPTIMIZERS, RATE_SCHEDULES
from tost_tf.training.learning_rate import step_drops
from tost_tf.training.masked_optimizer import MaskedOptimizer
from tost_tf.training.rate_by_progress import RateByProgress
from tost_tf.training.weight_average import WeightAverage


def make_optimizer(training: TrainingConfig, tweak: str = NO_TWEAK) -> MaskedOptimizer:
    """The optimizer that `--optimizer` names, with the run's settings and a tweak.

    Raises:
      TostError: a tweak is set for an optimizer that is not a `MaskedOptimizer`.
    """
    make = OPTIMIZERS[training.optimizer].make
    optimizer = make(training.learning_rate, training.momentum, training.weight_decay)
    if tweak != NO_TWEAK:
        if not isinstance(optimizer, MaskedOptimizer):
            raise TostError(
                f"--optimizer_tweak={tweak} needs a MaskedOptimizer, --optimizer={training.optimizer} is not one"
            )
        optimizer.tweak = OPTIMIZER_TWEAKS[tweak]
    return optimizer


def make_average(recipe: Recipe) -> WeightAverage | None:
    """The average of the weights that the recipe asks for."""
    return WeightAverage(recipe.weight_average) if recipe.weight_average else None


def rate_callback(
    training: TrainingConfig, epochs: int, drop_epochs: Sequence[int], steps_per_epoch: int
) -> keras.callbacks.Callback:
    """The callback that sets the learning rate according to `--schedule`.

    Args:
      training: the run's settings.
      epochs: the number of epochs of the schedule, without cycles.
      drop_epochs: the epochs at which the learning rate of a step schedule drops.
      steps_per_epoch: steps in an epoch.
    """
    if training.schedule != STEP_SCHEDULE:
        factor = RATE_SCHEDULES[training.schedule]
        return RateByProgress(factor, training.learning_rate, epochs * steps_per_epoch, steps_per_epoch)

    def rate(epoch: int, _: float) -> float:
        return step_drops(epoch, training.learning_rate, drop_epochs, training.lr_drop_factor)

    return keras.callbacks.LearningRateScheduler(rate)
