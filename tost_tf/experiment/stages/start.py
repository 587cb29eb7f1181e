"""Checks at the start that a run will not fail at its end."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import first_examples
from tost_tf.drawing import require_drawing
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.recipe import TRAIN_TEACHER
from tost_tf.experiment.run.network import add_ghosts_and_compile, require_branches
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.run.teacher_folder import teacher_folder
from tost_tf.experiment.stages.change_masks import last_update, mask_callbacks
from tost_tf.export.to_saved_model import saved_model
from tost_tf.graph.batch_norm import normalisations
from tost_tf.graph.kernels import ranked_weights
from tost_tf.masks.allocate import require_room
from tost_tf.masks.random import random
from tost_tf.models import MODEL_SUFFIXES
from tost_tf.registry import MODELS


def require_before_data(config: RunConfig) -> None:
    """Checks what does not need the data. Raises `TostError` if the run would fail later."""
    require_drawing()
    if config.recipe.teacher not in ("", TRAIN_TEACHER):
        teacher_folder(config.recipe.teacher)


def require_end(run: Run, dense: keras.Model) -> None:
    """Checks the network and the data before the search for a mask.

    Raises:
      TostError: masks cannot change as the options say, the network cannot be exported, the teacher does not work, or
        the network could not be trained after a long search for its mask.
    """
    config, data, directory, teacher = run.config, run.data, run.directory, run.teacher()
    mask, steps = config.mask, run.steps_per_epoch
    if config.training.batch_size > len(data.train):
        logging.warning(
            "--batch_size=%d is more than the %d training images: each step uses all of them",
            config.training.batch_size,
            len(data.train),
        )
    last_update(config, steps)
    require_branches(config, dense)
    if teacher:
        teacher.try_out(*first_examples(data, data.train, 2))
    if config.dynamic.prunes:
        sizes = {path: weight.shape.num_elements() for path, weight in ranked_weights(dense, mask.dense_layers).items()}
        require_room(sizes, mask.sparsity, "global")
    if config.superpose.is_on:
        normalisations(dense)
    if _is_users(config.model.model):
        _try_export(dense, data)
    if mask.mask == "lottery" and not mask.file and not directory.mask.exists():
        # The search takes many times as long as the training, so training is tried first with a mask that keeps all.
        everything = random(dense, sparsity=0.0)
        model = add_ghosts_and_compile(config, dense, everything, teacher)
        mask_callbacks(config, model, everything, steps, directory)


def _is_users(model: str) -> bool:
    """Whether a network is the user's: nobody has tried yet to export it."""
    if model.endswith(MODEL_SUFFIXES):
        return True
    return model in MODELS and not MODELS[model].__module__.startswith("tost_tf.")


def _try_export(model: keras.Model, data: ImageData) -> None:
    with tempfile.TemporaryDirectory(prefix="tost_export_") as scratch:
        try:
            saved_model(model, Path(scratch) / "saved_model", data.mean, data.deviation)
        except Exception as error:  # of many types, including TensorFlow's
            reason = " ".join(str(error).split())[:300]
            raise TostError(f"the model {model.name!r} cannot be exported as a SavedModel: {reason}") from error
