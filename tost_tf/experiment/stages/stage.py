"""What a stage of a run is, and what stages hand on to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tost_tf.compat import keras
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.run import Run
from tost_tf.ghost.model import GhostModel
from tost_tf.masks.masks import Masks


@dataclasses.dataclass
class RunNetwork:
    """The network of a run, as far as its stages have come.

    Attributes:
      dense: with the weights that training starts from.
      masks: of its prunable weights, `None` for a dense network: those training starts with, later those it ended with.
      fitted: after training, on one device and in float32; its weights are those `checkpoints` last read.
      checkpoints: of `fitted`.
      model: the result of the run: `fitted`, or the superposition of tickets.
      epoch: whose weights `model` has.
    """

    dense: keras.Model
    masks: Masks | None = None
    fitted: GhostModel | None = None
    checkpoints: Checkpoints | None = None
    model: GhostModel | None = None
    epoch: int = 0


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a run. Whatever it makes is in the run's folder, so that a run that was stopped anywhere resumes.

    Attributes:
      makes: what it makes, for messages: "the mask".
      is_done: whether that is in the folder, whole.
      compute: makes it. Killed in the middle, it is done again or resumes.
      read: takes it from the folder into the network.
      is_wanted: whether a run with these options has the stage.
      by_all_workers: whether all workers compute it together; else the chief does, and the others wait and read.
    """

    makes: str
    is_done: Callable[[Run], bool]
    compute: Callable[[Run, RunNetwork], None]
    read: Callable[[Run, RunNetwork], None] = lambda run, network: None
    is_wanted: Callable[[RunConfig], bool] = lambda config: True
    by_all_workers: bool = False
