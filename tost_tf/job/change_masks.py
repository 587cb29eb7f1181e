"""What changes masks during a run: dynamic sparse training, and the cycles of Sup-tickets."""

import math

from tost_tf.compat import keras
from tost_tf.config.run_config import RunConfig
from tost_tf.dynamic.callback import DynamicSparsity
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.ghost.model import GhostModel
from tost_tf.masks.mask import Masks
from tost_tf.superpose.callback import CheapTickets
from tost_tf.train.run_directory import RunDirectory


def mask_callbacks(
    config: RunConfig, model: GhostModel, masks: Masks | None, steps_per_epoch: int, directory: RunDirectory
) -> list[keras.callbacks.Callback]:
    """The callbacks of a run that change its masks; none, by default.

    Raises:
      TostError: training is too short for an update, or no layer has a mask that may change.
    """
    epochs, callbacks = config.training.epochs, []
    if not config.dynamic.is_on and not config.superpose.is_on:
        return callbacks
    updater = MaskUpdater(model.plain, model.optimizer, config.mask.dense_layers, config.training.seed)
    ordinary = config.superpose.ordinary_epochs(epochs)
    if config.dynamic.is_on:
        callbacks.append(
            DynamicSparsity(
                updater,
                config.dynamic,
                ordinary,
                epochs,
                steps_per_epoch,
                config.mask.sparsity,
                dict(masks),
                directory.path,
            )
        )
    if config.superpose.is_on:
        callbacks.append(
            CheapTickets(updater, config.superpose, config.cycle_growth, epochs, steps_per_epoch, directory.tickets)
        )
    return callbacks


def first_eligible_epoch(config: RunConfig, callbacks: list[keras.callbacks.Callback], steps_per_epoch: int) -> int:
    """The first epoch (counted from 1) whose weights may be exported: without ghosts, and as sparse as asked for."""
    first = config.recipe.passing_ghost_epochs + 1
    for callback in callbacks:
        if isinstance(callback, DynamicSparsity) and callback.method.prunes:
            first = max(first, math.ceil(callback.last_step / steps_per_epoch))
    return first
