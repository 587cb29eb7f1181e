"""Trains the teacher of a run before the run itself, where `--teacher=train` asks for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tost_tf.experiment.mask_options import NO_MASK
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.recipe import TRAIN_TEACHER
from tost_tf.experiment.run.folder import RunDirectory


def teacher_config(config: RunConfig) -> RunConfig:
    """The run of the teacher: the same network, dense, with the same data and optimizer, by the default recipe."""
    options = {}
    for group in (config.data, config.model, config.training, config.machine):
        options |= dataclasses.asdict(group)
    run_dir = RunDirectory(config.machine.run_dir).teacher
    # Without a mask there are no dead channels to train without.
    own = {"recipe": "default", "mask": NO_MASK, "compact_training": False, "run_dir": str(run_dir), "resume": True}
    return RunConfig.make(**options | own)


def train_teacher(config: RunConfig, launch: Callable[[RunConfig], dict[str, Any]]) -> None:
    """Trains the teacher in the folder of the run if the options ask for it, or resumes its training.

    Args:
      config: of the run.
      launch: trains a run.

    Raises:
      TostError, Stopped: as `launch` does.
    """
    if config.recipe.teacher != TRAIN_TEACHER:
        return
    print("training the teacher, the same network without a mask", flush=True)
    result = launch(teacher_config(config))
    print(f"the teacher: test accuracy {100 * result['test_accuracy']:.2f}%", flush=True)
