"""The stage that trains: its callbacks, and where it resumes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Callable

from tost_tf.compat import keras, tf
from tost_tf.data.pipeline import evaluation_batches, first_examples, training_batches
from tost_tf.errors import NotFinite, TostError
from tost_tf.experiment.run.adapt_crops import AdaptCrops, no_crops
from tost_tf.experiment.run.agreement import require_same, starting_point
from tost_tf.experiment.run.callbacks import EpochTable, NonFiniteLoss, SaveCheckpoints, StopOnNonFiniteLoss
from tost_tf.experiment.run.checkpoints import Checkpoints, has_epoch, last_checkpoint
from tost_tf.experiment.run.epoch_progress import EpochProgress
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.mask_board import MaskBoard
from tost_tf.experiment.run.merge_branches import MergeBranches
from tost_tf.experiment.run.network import add_ghosts_and_compile, find_dead_channels, in_full_precision
from tost_tf.experiment.run.optimizer import make_average, rate_callback
from tost_tf.experiment.run.record import recorders
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.run.same_data import note_data
from tost_tf.experiment.run.watch_plain_view import WatchPlainView
from tost_tf.experiment.run.within_epoch import WithinEpoch
from tost_tf.experiment.stages.change_masks import first_eligible_epoch, mask_callbacks
from tost_tf.experiment.stages.stage import RunNetwork, Stage
from tost_tf.files import read_json, write_json
from tost_tf.ghost.compact_training import CompactTraining
from tost_tf.ghost.model import GhostModel
from tost_tf.ghost.schedule import GhostSchedule
from tost_tf.masks.masks import Masks
from tost_tf.masks.sparsify import masks_of
from tost_tf.training.losses import cross_entropy
from tost_tf.training.weight_average import WeightAverage


def compute(run: Run, network: RunNetwork) -> None:
    """Trains the remaining epochs.

    Raises:
      TostError: the loss is no longer finite, or masks should change but no layer has a mask that may.
      Stopped: the run was stopped by a signal; there is a checkpoint.
    """
    if run.replicas > 1:
        batch_size = run.config.training.batch_size
        print(f"training on {run.replicas} devices, batches of {batch_size} split over them", flush=True)
    _name_other_devices(run)
    note_data(run)
    probabilities = no_crops(run.config.training.epochs) if run.config.data.adaptive_crops else None
    with run.strategy.scope(), run.output_folder() as output:
        model = add_ghosts_and_compile(run.config, network.dense, network.masks, run.teacher())
        average = make_average(run.config.recipe)
        checkpoints = Checkpoints(output.checkpoints, model, model.optimizer, average)
        done = checkpoints.restore_latest(run.directory.checkpoints)
        progress = checkpoints.restore_within(done, run.directory.checkpoints)
        if not done and progress is None:
            images, _ = first_examples(run.data, run.data.train, run.config.training.batch_size)
            dead = find_dead_channels(run.config, model, images)
            if dead and run.writes:
                print(f"{sum(dead.values())} channels do not vary and stay ReLU, in {', '.join(dead)}", flush=True)
        if run.workers.several:
            require_same(run.strategy, starting_point(run.data, model, done, progress))
        training = _Training(
            run, output, model, network.masks, checkpoints, average, done, progress, probabilities, run.stop_requested()
        )
        with run.stop.noted():
            training.fit()


def _name_other_devices(run: Run) -> None:
    """Logs that a run resumes on another number of devices than it was on."""
    if not run.writes:
        return
    before = read_json(run.directory.devices).get("devices", run.replicas)
    if before != run.replicas:
        logging.warning(
            "the run was on %d device(s) and resumes on %d: BatchNormalization sees other batches and sums are rounded "
            "differently, so its result is not exactly that of a run on the same devices",
            before,
            run.replicas,
        )
    write_json(run.directory.devices, {"devices": run.replicas})


def read(run: Run, network: RunNetwork) -> None:
    """Reads the weights of the best epoch, or of the last one if no epoch may be exported yet."""
    recipe = run.config.recipe
    model = add_ghosts_and_compile(in_full_precision(run.config), network.dense, network.masks)
    checkpoints = Checkpoints(run.directory.checkpoints, model, model.optimizer, make_average(recipe))
    network.epoch = checkpoints.restore_last_weights()
    if checkpoints.has_best:
        network.epoch = checkpoints.restore_best()
        if not recipe.keeps_ghosts:
            model.remove_ghosts()
    elif recipe.has_branches and not recipe.fades_ghosts:
        model.remove_ghosts()  # the network with branches alone is a plain one
    network.fitted, network.checkpoints, network.model = model, checkpoints, model
    if network.masks is not None:
        network.masks = masks_of(model.plain)  # they may have changed during training


STAGE = Stage(
    "the last checkpoint",
    is_done=lambda run: has_epoch(run.directory.checkpoints, run.config.training.epochs),
    compute=compute,
    read=read,
    by_all_workers=True,
)


@dataclasses.dataclass(frozen=True)
class _Training:
    """The training of a run, from its beginning or from a checkpoint.

    Attributes:
      run: the run.
      output: the folder its files are written to.
      model: compiled, with the weights to start from.
      masks: those at the beginning of training, `None` for a dense network.
      checkpoints: of the model.
      average: of its weights, `None` without.
      done: the number of epochs done.
      progress: within the next epoch, `None` for its start.
      crop_probabilities: of each epoch, `None` where they do not change.
      stop_requested: returns the signal that stops the run, or `None`.
    """

    run: Run
    output: RunDirectory
    model: GhostModel
    masks: Masks | None
    checkpoints: Checkpoints
    average: WeightAverage | None
    done: int
    progress: EpochProgress | None
    crop_probabilities: tf.Variable | None
    stop_requested: Callable[[], int | None]

    def fit(self) -> None:
        """Trains the remaining epochs."""
        run = self.run
        epochs = run.config.training.epochs
        if self.done or self.progress:
            step = f"step {self.progress.step} of epoch {self.done + 1}" if self.progress else ""
            print(f"resuming after {step or f'epoch {self.done} of {epochs}'}", flush=True)
        try:
            self.model.fit(
                self._batches(),
                epochs=epochs,
                initial_epoch=self.done,
                steps_per_epoch=run.steps_per_epoch,
                validation_data=evaluation_batches(run.data, run.data.validation),
                callbacks=self._callbacks(),
                verbose=1 if sys.stdout.isatty() else 2,
            )
        except (NonFiniteLoss, NotFinite) as error:
            last = last_checkpoint(self.output.checkpoints)
            kept = f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"
            raise TostError(f"training stopped, {error}: {kept}; a lower --learning_rate may help") from None

    def _batches(self) -> tf.data.Dataset:
        training = self.run.config.training
        return training_batches(
            self.run.data,
            training.batch_size,
            training.seed,
            training.epochs,
            self.done,
            self.run.config.data.augment,
            first_step=self.progress.step if self.progress else 0,
            crop_padding=self.run.config.data.crop_padding,
            crop_probabilities=self.crop_probabilities,
        )

    def _adapting(self) -> list[keras.callbacks.Callback]:
        if self.crop_probabilities is None:
            return []
        directory = self.run.directory  # not the output, which is a new folder for all workers but the chief
        rows = [row for row in directory.read_metrics() if row["epoch"] <= self.done]
        if [row["epoch"] for row in rows] != list(range(1, self.done + 1)):
            raise TostError(
                f"{str(directory.metrics)!r} does not have the accuracies of every epoch up to {self.done}, by "
                "which --adaptive_crops goes on: put the file back, or train again in another --run_dir"
            )
        as_validated = self.average.in_use if self.average else contextlib.nullcontext
        return [AdaptCrops(self.crop_probabilities, self.run.data, self.run.steps_per_epoch, rows, as_validated)]

    def _merging(self) -> list[keras.callbacks.Callback]:
        run = self.run
        if not run.config.recipe.has_branches:
            return []
        images, validation = (evaluation_batches(run.data, part) for part in (run.data.train, run.data.validation))
        return [MergeBranches(run.config.recipe.last_ghost_epoch, images, validation, run.writes)]

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        run, output, model = self.run, self.output, self.model
        config, steps = run.config, run.steps_per_epoch
        training, recipe = config.training, config.recipe
        examples = first_examples(run.data, run.data.train, config.record.record_examples)
        eligible = first_eligible_epoch(config, steps)

        ordinary = config.superpose.ordinary_epochs(training.epochs)
        return [
            rate_callback(training, ordinary, training.lr_drop_epochs, steps),
            *self._merging(),
            GhostSchedule(
                recipe.last_ghost_epoch,
                steps,
                recipe.ghost_schedule,
                recipe.beta_start,
                recipe.beta_end,
                recipe.beta_schedule,
            ),
            *([CompactTraining(verbose=int(run.writes))] if config.machine.compact_training else []),
            WatchPlainView(*first_examples(run.data, run.data.validation, training.batch_size), recipe.label_smoothing),
            StopOnNonFiniteLoss(),
            *self._adapting(),
            *mask_callbacks(config, model, self.masks, steps, output),
            *([self.average] if self.average else []),
            EpochTable(output, model.plain, training.epochs, self.progress.seconds if self.progress else 0.0),
            *recorders(config.record, output, examples, cross_entropy(recipe.label_smoothing), steps),
            SaveCheckpoints(self.checkpoints, lambda epoch: epoch >= eligible),
            keras.callbacks.TensorBoard(str(output.tensorboard), write_graph=False, profile_batch=0),
            MaskBoard(output.tensorboard / "train", model.plain),
            # Last: after everything of an epoch is written.
            WithinEpoch(self.checkpoints, self.stop_requested, steps, self.progress),
        ]
