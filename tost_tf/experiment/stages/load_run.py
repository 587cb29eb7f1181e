"""A trained run, back in memory."""

from __future__ import annotations

import dataclasses
import os

from tost_tf.data.images import ImageData
from tost_tf.data.load import load
from tost_tf.errors import TostError
from tost_tf.experiment.flags import read_config
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.network import add_ghosts_and_compile, build_model, in_full_precision
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.weights import load_weights
from tost_tf.masks.masks import Masks
from tost_tf.masks.sparsify import masks_of, masks_of_zeros


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A run's options, data and masks (`None` for a dense one), and its network with trained weights.

    The view of `model` in use is the one the weights are for: the plain one once the ghosts are gone.
    """

    directory: RunDirectory
    config: RunConfig
    data: ImageData
    model: GhostModel
    masks: Masks | None
    epoch: int


def load_run(path: str | os.PathLike) -> LoadedRun:
    """The run in a folder, with the weights of its best epoch (of its last while ghosts are there still).

    No weight in the folder is changed. To be called on a run that is not training just now.

    Raises:
      TostError: it is not a run folder, or has no checkpoint yet.
    """
    directory = RunDirectory(path)
    if not directory.config.is_file():
        raise TostError(f"{str(path)!r} is not a run folder: it has no config.flags")
    try:
        config = read_config(directory.config)
    except TostError as error:
        raise TostError(f"{str(directory.config)!r} cannot be understood: {error}") from None
    if not any(directory.checkpoints.glob("epoch-*.index")):
        raise TostError(f"the run {str(path)!r} has no checkpoint yet: train it for an epoch at least")
    # The weights come from the checkpoint; the files the run started from may be gone.
    config = dataclasses.replace(config, mask=dataclasses.replace(config.mask, initial_weights=""))
    config = in_full_precision(config)
    data = load(config.data)
    if directory.superposed_weights.exists():
        return _superposed(directory, config, data)
    masks = Masks.load(directory.mask) if directory.mask.exists() else None
    model = add_ghosts_and_compile(config, build_model(config, data), masks)
    checkpoints = Checkpoints(directory.checkpoints, model, model.optimizer)
    epoch = checkpoints.restore_latest()
    if int(checkpoints.best_epoch.numpy()):
        epoch = checkpoints.restore_best()
        if not config.recipe.keeps_ghosts:
            model.remove_ghosts()
    # Those of the checkpoint: masks may have changed while training.
    return LoadedRun(directory, config, data, model, masks and masks_of(model.plain), epoch)


def _superposed(directory: RunDirectory, config: RunConfig, data: ImageData) -> LoadedRun:
    """A run whose result is the superposition of its tickets."""
    dense = build_model(config, data)
    load_weights(dense, directory.superposed_weights)
    masks = masks_of_zeros(dense)
    model = add_ghosts_and_compile(config, dense, masks)
    model.remove_ghosts()
    return LoadedRun(directory, config, data, model, masks, config.training.epochs)
