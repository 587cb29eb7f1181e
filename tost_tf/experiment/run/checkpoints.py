"""Checkpoints of a run: written after every epoch, read back when it is launched again."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.experiment.run.epoch_progress import EpochProgress, SavedProgress

KEPT = 2


class Checkpoints:
    """The state of a training run on disk.

    A checkpoint `epoch-N` is the state after N epochs: every weight and mask of the model, the ghosts, the optimizer,
    and which epoch was best. The weights of the best epoch are beside it as `best-N`; they are removed only once
    no checkpoint names that epoch, so that each checkpoint has the best weights that belong to it. `step-N-K` is the
    state after K more steps, written where a run is asked to stop; the checkpoint after epoch N stays beside it.

    Args:
      folder: where they are.
      model: the model that is trained.
      optimizer: its optimizer, built for all weights it will ever train.
    """

    def __init__(self, folder: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer):
        self.folder = folder
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_accuracy = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
        scaled = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        # The loss scale apart, so that a network without it reads the checkpoint too.
        scale = {"loss_scale": optimizer} if scaled else {}
        parts = {
            "model": model,
            "optimizer": optimizer.inner_optimizer if scaled else optimizer,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_accuracy": self.best_accuracy,
        } | scale
        self._state = tf.train.Checkpoint(**parts)
        self._progress = SavedProgress()
        self._state_within = tf.train.Checkpoint(**parts, progress=self._progress)
        self._weights = tf.train.Checkpoint(model=model)
        self._manager = self._open_manager()

    def _open_manager(self) -> tf.train.CheckpointManager:
        """The manager, whose list of checkpoints is begun anew where it cannot be read; the files tell more."""
        try:
            return tf.train.CheckpointManager(self._state, str(self.folder), KEPT, checkpoint_name="epoch")
        except (ValueError, UnicodeDecodeError) as error:
            logging.warning("the list of checkpoints in %s cannot be read and is begun anew: %s", self.folder, error)
            (self.folder / "checkpoint").unlink()
            return tf.train.CheckpointManager(self._state, str(self.folder), KEPT, checkpoint_name="epoch")

    def path(self, epoch: int) -> Path:
        """Where the checkpoint after `epoch` epochs is (the prefix of its files)."""
        return self.folder / f"epoch-{epoch}"

    def best_path(self, epoch: int) -> Path:
        """Where the weights after epoch `epoch` are, if it was the best."""
        return self.folder / f"best-{epoch}"

    def save(self, epoch: int, accuracy: float, may_be_best: bool) -> None:
        """Writes the state after `epoch` epochs; where it is the best so far, its weights too.

        Args:
          epoch: the number of epochs done.
          accuracy: on validation; the first epoch that reaches the highest is the best.
          may_be_best: whether this epoch's weights may be exported.
        """
        if may_be_best and accuracy > float(self.best_accuracy.numpy()):
            self.best_epoch.assign(epoch)
            self.best_accuracy.assign(accuracy)
            self._weights.write(str(self.best_path(epoch)))
        self.epoch.assign(epoch)
        self._manager.save(checkpoint_number=epoch)
        self._remove_old_bests()
        self._remove_steps(but="")

    def save_within(self, epoch: int, progress: EpochProgress) -> None:
        """Writes the state some steps after `epoch` epochs; an earlier one of this kind stays until it is whole."""
        self.epoch.assign(epoch)
        self._progress.value = progress
        name = f"step-{epoch}-{progress.step}"
        self._state_within.write(str(self.folder / name))
        self._remove_steps(but=name)

    def restore_within(self, epoch: int, folder: Path | None = None) -> EpochProgress | None:
        """Reads what `save_within` wrote after `epoch` epochs; `None`, and nothing is changed, if there is none."""
        folder = folder or self.folder
        names = (re.fullmatch(rf"(step-{epoch}-(\d+))\.index", file.name) for file in folder.glob("step-*.index"))
        for _, name in sorted(((int(match[2]), match[1]) for match in names if match), reverse=True):
            path = str(folder / name)
            problem = _problem(path)
            if problem is None:
                self._state_within.read(path).assert_existing_objects_matched().expect_partial()
                return self._progress.value
            logging.warning("the checkpoint %s is passed over, it cannot be read: %s", path, problem)
        return None

    def restore_latest(self, folder: Path | None = None) -> int:
        """Reads the newest whole checkpoint, warning of each that is not, and returns how many epochs it has done.

        Returns 0, and changes nothing, where there is none. `folder` is where to look, by default where they are
        written.
        """
        folder = folder or self.folder
        for epoch in _epochs_in(folder):
            path = str(folder / f"epoch-{epoch}")
            problem = _problem_with_best(path)
            if problem is None:
                self._state.restore(path).assert_existing_objects_matched().expect_partial()
                return epoch
            logging.warning("the checkpoint %s is passed over, it cannot be read: %s", path, problem)
        if _epochs_in(folder):
            raise TostError(
                f"no checkpoint in {str(folder)!r} can be read: move the folder away to start the run again"
            )
        return 0

    @property
    def has_best(self) -> bool:
        """Whether the state that was read names a best epoch."""
        return int(self.best_epoch.numpy()) > 0

    def restore_best(self) -> int:
        """Puts the weights of the best epoch into the model and returns its number."""
        epoch = int(self.best_epoch.numpy())
        self._weights.read(str(self.best_path(epoch))).assert_existing_objects_matched().expect_partial()
        return epoch

    def _remove_old_bests(self) -> None:
        whole = [str(self.path(epoch)) for epoch in _epochs_in(self.folder)]
        needed = {self.best_path(_best_epoch(path)).name for path in whole if _problem(path) is None}
        for file in self.folder.glob("best-*"):
            if file.name.split(".")[0] not in needed:
                file.unlink()

    def _remove_steps(self, but: str) -> None:
        for file in self.folder.glob("step-*"):
            if not but or not file.name.startswith(f"{but}."):
                file.unlink()


def _epochs_in(folder: Path) -> list[int]:
    names = (re.fullmatch(r"epoch-(\d+)\.index", file.name) for file in folder.glob("epoch-*.index"))
    return sorted((int(match[1]) for match in names if match), reverse=True)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in a folder that can be read in full (the prefix of its files), `None` if there is none."""
    names = [re.fullmatch(r"(?:epoch-(\d+)|step-(\d+)-(\d+))\.index", file.name) for file in folder.glob("*-*.index")]
    order = {match[0]: (int(match[1] or match[2]), int(match[3] or 0)) for match in names if match}
    newest_first = sorted(order, key=order.get, reverse=True)
    paths = (folder / name.removesuffix(".index") for name in newest_first)
    return next((path for path in paths if _problem(str(path)) is None), None)


def has_epoch(folder: Path, epoch: int) -> bool:
    """Whether the checkpoint after `epoch` epochs is in a folder and can be read in full, with its best weights."""
    path = folder / f"epoch-{epoch}"
    return path.with_name(f"{path.name}.index").exists() and _problem_with_best(str(path)) is None


def _problem_with_best(path: str) -> str | None:
    """As `_problem`, of a checkpoint after an epoch and of the best weights that belong to it."""
    problem = _problem(path)
    if problem is None and (best := _best_epoch(path)):
        problem = _problem(str(Path(path).with_name(f"best-{best}")))
    return problem


def _best_epoch(path: str) -> int:
    return int(tf.train.load_variable(path, "best_epoch/.ATTRIBUTES/VARIABLE_VALUE"))


def _problem(path: str) -> str | None:
    """Why a checkpoint cannot be read in full, `None` if it can. Nothing is put into variables."""
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # TensorFlow's reader turns a damaged file into any of these.
        return str(error).splitlines()[0]
    return None
