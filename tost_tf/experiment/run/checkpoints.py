"""Checkpoints of a run: written after every epoch, read back when it is launched again."""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.experiment.run.epoch_progress import EpochProgress, SavedProgress
from tost_tf.ghost.model import GhostModel
from tost_tf.training.weight_average import WeightAverage

KEPT = 2


class Checkpoints:
    """The state of a training run on disk.

    A checkpoint `epoch-N` is the state after N epochs: all weights and masks of the model, the ghosts, the optimizer,
    and the best epoch so far. `best-N` in the same folder holds the weights of the best epoch; it is removed when no
    checkpoint refers to that epoch any more. `step-N-K` is the state K steps after epoch N, written when a run is
    stopped; the checkpoint `epoch-N` stays.

    Args:
      folder: of the checkpoints.
      model: the model that is trained.
      optimizer: its optimizer, built for all weights that will be trained.
      average: of the model's weights: the weights of the best epoch are then averages, and what `epoch-N` has beside
        the weights.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        average: WeightAverage | None = None,
    ):
        self.folder, self._average = folder, average
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_accuracy = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
        scaled = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        # The loss scale is separate, so that a network without it can read the checkpoint too.
        scale = {"loss_scale": optimizer} if scaled else {}
        parts = {
            "model": _views(model),
            "optimizer": optimizer.inner_optimizer if scaled else optimizer,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_accuracy": self.best_accuracy,
        } | scale
        if average is not None:
            average.set_model(model)
            parts["average"] = average.state
        self._state = tf.train.Checkpoint(**parts)
        self._progress = SavedProgress()
        self._state_within = tf.train.Checkpoint(**parts, progress=self._progress)
        self._weights = tf.train.Checkpoint(model=_views(model))
        self._manager = self._open_manager()

    def _open_manager(self) -> tf.train.CheckpointManager:
        """The manager. If its list of checkpoints cannot be read, a new list is started; the files are what counts."""
        try:
            return tf.train.CheckpointManager(self._state, str(self.folder), KEPT, checkpoint_name="epoch")
        except (ValueError, UnicodeDecodeError) as error:
            logging.warning(
                "the list of checkpoints in %s cannot be read, a new one is started: %s", self.folder, error
            )
            (self.folder / "checkpoint").unlink()
            return tf.train.CheckpointManager(self._state, str(self.folder), KEPT, checkpoint_name="epoch")

    def path(self, epoch: int) -> Path:
        """The path of the checkpoint after `epoch` epochs (the prefix of its files)."""
        return self.folder / f"epoch-{epoch}"

    def best_path(self, epoch: int) -> Path:
        """The path of the weights after epoch `epoch`, if it was the best."""
        return self.folder / f"best-{epoch}"

    def save(self, epoch: int, accuracy: float, may_be_best: bool) -> None:
        """Writes the state after `epoch` epochs; if it is the best so far, its weights too.

        Args:
          epoch: the number of epochs done.
          accuracy: on the validation data; the first epoch with the highest accuracy is the best.
          may_be_best: whether this epoch's weights may be exported.
        """
        if may_be_best and accuracy > float(self.best_accuracy.numpy()):
            self.best_epoch.assign(epoch)
            self.best_accuracy.assign(accuracy)
            with self._average.in_use() if self._average else contextlib.nullcontext():
                self._weights.write(str(self.best_path(epoch)))
        self.epoch.assign(epoch)
        self._manager.save(checkpoint_number=epoch)
        self._remove_old_bests()
        self._remove_steps(but="")

    def save_within(self, epoch: int, progress: EpochProgress) -> None:
        """Writes the state some steps after `epoch` epochs; then removes an earlier state of this kind."""
        self.epoch.assign(epoch)
        self._progress.value = progress
        name = f"step-{epoch}-{progress.step}"
        self._state_within.write(str(self.folder / name))
        self._remove_steps(but=name)

    def restore_within(self, epoch: int, folder: Path | None = None) -> EpochProgress | None:
        """Reads what `save_within` wrote after `epoch` epochs. Without it, returns `None` and changes nothing."""
        folder = folder or self.folder
        names = (re.fullmatch(rf"(step-{epoch}-(\d+))\.index", file.name) for file in folder.glob("step-*.index"))
        for _, name in sorted(((int(match[2]), match[1]) for match in names if match), reverse=True):
            path = str(folder / name)
            problem = _problem(path)
            if problem is None:
                self._state_within.read(path).assert_existing_objects_matched().expect_partial()
                return self._progress.value
            logging.warning("the checkpoint %s is skipped, it cannot be read: %s", path, problem)
        return None

    def restore_latest(self, folder: Path | None = None) -> int:
        """Reads the newest checkpoint that is complete, with a warning for each that is not; returns its epochs done.

        Without checkpoints it returns 0 and changes nothing. `folder` is by default the one they are written to.

        Raises:
          TostError: there are checkpoints, but none can be read.
        """
        folder = folder or self.folder
        for epoch in _epochs_in(folder):
            path = str(folder / f"epoch-{epoch}")
            problem = _problem_with_best(path)
            if problem is None:
                self._state.restore(path).assert_existing_objects_matched().expect_partial()
                return epoch
            logging.warning("the checkpoint %s is skipped, it cannot be read: %s", path, problem)
        if _epochs_in(folder):
            raise TostError(
                f"no checkpoint in {str(folder)!r} can be read: move the folder away to start the run again"
            )
        return 0

    def restore_last_weights(self) -> int:
        """As `restore_latest`, for evaluation: the model then has the averages, where weights are averaged."""
        if self._average:
            self._average.put_back()
        epoch = self.restore_latest()
        if self._average:
            self._average.use()
        return epoch

    @property
    def has_best(self) -> bool:
        """Whether there is a best epoch in the current state."""
        return int(self.best_epoch.numpy()) > 0

    def restore_best(self) -> int:
        """Loads the weights of the best epoch into the model, and returns its number."""
        epoch = int(self.best_epoch.numpy())
        self._weights.read(str(self.best_path(epoch))).assert_existing_objects_matched().expect_partial()
        return epoch

    def _remove_old_bests(self) -> None:
        paths = [str(self.path(epoch)) for epoch in _epochs_in(self.folder)]
        needed = {self.best_path(_best_epoch(path)).name for path in paths if _problem(path) is None}
        for file in self.folder.glob("best-*"):
            if file.name.split(".")[0] not in needed:
                file.unlink()

    def _remove_steps(self, but: str) -> None:
        for file in self.folder.glob("step-*"):
            if not but or not file.name.startswith(f"{but}."):
                file.unlink()


def _views(model: keras.Model) -> tf.Module | keras.Model:
    """What a checkpoint of a run holds of a model: all but which view is in use, which the epoch says."""
    if not isinstance(model, GhostModel):
        return model
    views = tf.Module()
    views.plain, views.ghosted = model.plain, model.ghosted
    return views


def _epochs_in(folder: Path) -> list[int]:
    names = (re.fullmatch(r"epoch-(\d+)\.index", file.name) for file in folder.glob("epoch-*.index"))
    return sorted((int(match[1]) for match in names if match), reverse=True)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in a folder that can be read completely (the prefix of its files), `None` without one."""
    names = [re.fullmatch(r"(?:epoch-(\d+)|step-(\d+)-(\d+))\.index", file.name) for file in folder.glob("*-*.index")]
    order = {match[0]: (int(match[1] or match[2]), int(match[3] or 0)) for match in names if match}
    newest_first = sorted(order, key=order.get, reverse=True)
    paths = (folder / name.removesuffix(".index") for name in newest_first)
    return next((path for path in paths if _problem(str(path)) is None), None)


def has_epoch(folder: Path, epoch: int) -> bool:
    """Whether a folder has the checkpoint after `epoch` epochs, and it and its best weights can be read completely."""
    path = folder / f"epoch-{epoch}"
    return path.with_name(f"{path.name}.index").exists() and _problem_with_best(str(path)) is None


def _problem_with_best(path: str) -> str | None:
    """As `_problem`, for a checkpoint after an epoch and the best weights that belong to it."""
    problem = _problem(path)
    if problem is None and (best := _best_epoch(path)):
        problem = _problem(str(Path(path).with_name(f"best-{best}")))
    return problem


def _best_epoch(path: str) -> int:
    return int(tf.train.load_variable(path, "best_epoch/.ATTRIBUTES/VARIABLE_VALUE"))


def _problem(path: str) -> str | None:
    """Why a checkpoint cannot be read completely, `None` if it can. No variable is changed."""
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # TensorFlow's reader turns a damaged file into any of these.
        return str(error).splitlines()[0]
    return None
