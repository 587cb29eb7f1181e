"""Loads a trained run into memory."""

from __future__ import annotations

import dataclasses
import os

from tost_tf.data.images import ImageData
from tost_tf.data.load import load
from tost_tf.errors import TostError
from tost_tf.experiment.checks import check_together
from tost_tf.experiment.flags import read_config
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.network import build_model, in_full_precision
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages.stage import RunNetwork
from tost_tf.experiment.stages.stages import read_trained
from tost_tf.ghost.model import GhostModel
from tost_tf.masks.masks import Masks


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A run's options, data, masks (`None` for a dense network), and its network with trained weights.

    The view of `model` in use is the one the weights belong to: the plain one if the ghosts are gone.
    """

    directory: RunDirectory
    config: RunConfig
    data: ImageData
    model: GhostModel
    masks: Masks | None
    epoch: int


def load_run(path: str | os.PathLike) -> LoadedRun:
    """Loads the run in a folder, with the weights of its best epoch (of its last if no epoch may be exported yet).

    No weights in the folder are changed. The run must not be training at the same time.

    Raises:
      TostError: it is not a run folder, or has no checkpoint yet.
    """
    directory = RunDirectory(path)
    if not directory.config.is_file():
        raise TostError(f"{str(path)!r} is not a run folder: it has no config.flags")
    try:
        config = read_config(directory.config)
        check_together(config)
    except TostError as error:
        raise TostError(f"{str(directory.config)!r} cannot be understood: {error}") from None
    if not any(directory.checkpoints.glob("epoch-*.index")):
        raise TostError(f"the run {str(path)!r} has no checkpoint yet: train it for at least one epoch")
    # The weights come from the checkpoint; the file of the initial weights may be gone.
    config = dataclasses.replace(config, mask=dataclasses.replace(config.mask, initial_weights=""))
    config = in_full_precision(config)
    run = Run(config, load(config.data), directory)
    network = RunNetwork(build_model(config, run.data))
    read_trained(run, network)
    return LoadedRun(directory, config, run.data, network.model, network.masks, network.epoch)
