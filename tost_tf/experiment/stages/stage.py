"""The interface of a stage of a run, and what stages pass on to each other."""

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
    """The network of a run; each stage fills in its part.

    Attributes:
      dense: the dense network, with the weights at the start of training.
      masks: of its prunable weights, `None` for a dense network; first those at the start of training, then the final.
      fitted: the trained network, on one device and in float32; its weights are those `checkpoints` last read.
      checkpoints: of `fitted`.
      model: the result of the run: `fitted`, or the superposition of tickets.
      epoch: the epoch of the weights of `model`.
    """

    dense: keras.Model
    masks: Masks | None = None
    fitted: GhostModel | None = None
    checkpoints: Checkpoints | None = None
    model: GhostModel | None = None
    epoch: int = 0


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a run. Its result is saved in the run's folder, so a run can resume wherever it was stopped.

    Attributes:
      makes: the name of its result in messages: "the mask".
      is_done: whether the complete result is in the folder.
      compute: makes the result. If it is killed, it starts again or resumes.
      read: reads the result from the folder into the network.
      is_wanted: whether a run with these options has this stage.
      by_all_workers: whether all workers compute it together; if not, the chief does, and the others wait and read.
    """

    makes: str
    is_done: Callable[[Run], bool]
    compute: Callable[[Run, RunNetwork], None]
    read: Callable[[Run, RunNetwork], None] = lambda run, network: None
    is_wanted: Callable[[RunConfig], bool] = lambda config: True
    by_all_workers: bool = False
