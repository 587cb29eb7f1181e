"""The epochs of a run: what is called around their steps, and where they start."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable

from tost_tf.compat import keras, tf
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import evaluation_batches, first_examples, steps_per_epoch, training_batches
from tost_tf.errors import NotFinite, TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.callbacks import EpochTable, NonFiniteLoss, SaveCheckpoints, StopOnNonFiniteLoss
from tost_tf.experiment.run.checkpoints import Checkpoints, last_checkpoint
from tost_tf.experiment.run.epoch_progress import EpochProgress
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.mask_board import MaskBoard
from tost_tf.experiment.run.optimizer import rate_callback
from tost_tf.experiment.run.record import recorders
from tost_tf.experiment.run.within_epoch import WithinEpoch
from tost_tf.experiment.stages.change_masks import first_eligible_epoch, mask_callbacks
from tost_tf.ghost.model import GhostModel
from tost_tf.ghost.schedule import GhostSchedule
from tost_tf.masks.masks import Masks
from tost_tf.training.losses import cross_entropy


@dataclasses.dataclass(frozen=True)
class Training:
    """The training of a run, from where it was stopped.

    Attributes:
      config, data: of the run.
      directory: where its files are written.
      model: compiled, with the weights to start from.
      masks: those training began with, `None` for a dense network.
      checkpoints: of the model.
      done: epochs that are done.
      progress: how far the next one is, `None` for its start.
      asked: gives the signal that asks to stop, or `None`.
    """

    config: RunConfig
    data: ImageData
    directory: RunDirectory
    model: GhostModel
    masks: Masks | None
    checkpoints: Checkpoints
    done: int
    progress: EpochProgress | None
    asked: Callable[[], int | None]

    def fit(self) -> None:
        """Trains the epochs that are left.

        Raises:
          TostError: the loss is no longer finite, or no mask may change where masks are to.
          Stopped: `asked` gave a signal; there is a checkpoint.
        """
        epochs = self.config.training.epochs
        if self.done or self.progress:
            step = f"step {self.progress.step} of epoch {self.done + 1}" if self.progress else ""
            print(f"going on after {step or f'epoch {self.done} of {epochs}'}", flush=True)
        try:
            self.model.fit(
                self._batches(),
                epochs=epochs,
                initial_epoch=self.done,
                steps_per_epoch=self._steps,
                validation_data=evaluation_batches(self.data, self.data.validation),
                callbacks=self._callbacks(),
                verbose=1 if sys.stdout.isatty() else 2,
            )
        except (NonFiniteLoss, NotFinite) as error:
            last = last_checkpoint(self.directory.checkpoints)
            kept = f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"
            raise TostError(f"training stopped, {error}: {kept}; a lower --learning_rate may help") from None

    @property
    def _steps(self) -> int:
        return steps_per_epoch(len(self.data.train), self.config.training.batch_size)

    def _batches(self) -> tf.data.Dataset:
        training = self.config.training
        return training_batches(
            self.data,
            training.batch_size,
            training.seed,
            training.epochs,
            self.done,
            self.config.data.augment,
            first_step=self.progress.step if self.progress else 0,
        )

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        training, recipe, directory, model = self.config.training, self.config.recipe, self.directory, self.model
        examples = first_examples(self.data, self.data.train, self.config.record.record_examples)
        eligible = first_eligible_epoch(self.config, self._steps)

        ordinary = self.config.superpose.ordinary_epochs(training.epochs)
        return [
            rate_callback(training, ordinary, training.lr_drop_epochs, self._steps),
            GhostSchedule(
                recipe.last_ghost_epoch, self._steps, recipe.ghost_schedule, recipe.beta_start, recipe.beta_end
            ),
            StopOnNonFiniteLoss(),
            *mask_callbacks(self.config, model, self.masks, self._steps, directory),
            EpochTable(directory, model.plain, training.epochs, self.progress.seconds if self.progress else 0.0),
            *recorders(self.config.record, directory, examples, cross_entropy(recipe.label_smoothing), self._steps),
            SaveCheckpoints(self.checkpoints, lambda epoch: epoch >= eligible),
            keras.callbacks.TensorBoard(str(directory.tensorboard), write_graph=False, profile_batch=0),
            MaskBoard(directory.tensorboard / "train", model.plain),
            WithinEpoch(self.checkpoints, self.asked, self._steps, self.progress),  # last: an epoch is all written
        ]
