"""Changes of masks during a run: dynamic sparse training, and the cycles of Sup-tickets."""

from __future__ import annotations

import math

from tost_tf.compat import keras
from tost_tf.dynamic.callback import ROWS, DynamicSparsity
from tost_tf.dynamic.tickets import Cycles, SaveTickets
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.rows import RecordedRows
from tost_tf.ghost.model import GhostModel
from tost_tf.masks.masks import Masks


def mask_callbacks(
    config: RunConfig, model: GhostModel, masks: Masks | None, steps_per_epoch: int, directory: RunDirectory
) -> list[keras.callbacks.Callback]:
    """The callbacks of a run that change its masks; by default none.

    Raises:
      TostError: training is too short for an update, or no layer has a mask that may change.
    """
    dynamic, superpose, callbacks = config.dynamic, config.superpose, []
    if not dynamic.is_on and not superpose.is_on:
        return callbacks
    updater = MaskUpdater(
        model.plain, model.optimizer, config.mask.dense_layers, config.training.seed, pattern=config.mask.mask_pattern
    )
    epochs = config.training.epochs
    if dynamic.is_on:
        callbacks.append(
            DynamicSparsity(
                updater,
                dynamic,
                last_step=last_update(config, steps_per_epoch),
                end_step=dynamic.end_step(epochs, superpose.ordinary_epochs(epochs), steps_per_epoch),
                steps_per_epoch=steps_per_epoch,
                sparsity=config.mask.sparsity,
                initial=masks,
                record=RecordedRows(directory.path, ROWS).add,
            )
        )
    if superpose.is_on:
        growth = config.cycle_growth
        cycles = Cycles(updater, superpose, growth, epochs, steps_per_epoch)
        callbacks += [cycles, SaveTickets(cycles, directory.tickets)]
    return callbacks


def last_update(config: RunConfig, steps_per_epoch: int) -> int:
    """The last step after which the masks of a run change, apart from its cycles; 0 if they never do.

    Raises:
      TostError: training is too short for an update.
    """
    if not config.dynamic.is_on:
        return 0
    epochs = config.training.epochs
    return config.dynamic.last_update(epochs, config.superpose.ordinary_epochs(epochs), steps_per_epoch)


def first_eligible_epoch(config: RunConfig, steps_per_epoch: int) -> int:
    """The first epoch (from 1) whose weights may be exported: without ghosts, and with the requested sparsity."""
    first = config.recipe.passing_ghost_epochs + 1
    if config.dynamic.prunes:
        first = max(first, math.ceil(last_update(config, steps_per_epoch) / steps_per_epoch))
    return first
