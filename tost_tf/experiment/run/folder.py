"""The folder of a run: the names of its files, and which process may write it."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from tost_tf.errors import TostError
from tost_tf.experiment.flags import differences, read_config, to_flagfile
from tost_tf.experiment.options import RunConfig
from tost_tf.files import TEMPORARY, read_json, require_writable, sweep_folder, write_text

METRICS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "plain_loss",
    "clean_accuracy",
    "crop_probability",
    "learning_rate",
    "alpha",
    "beta",
    "sparsity",
    "seconds",
)
# Columns that are empty in some runs, and missing in those of older versions.
OPTIONAL = ("plain_loss", "clean_accuracy", "crop_probability")
LOCK = ".lock"


class RunDirectory:
    """The folder of a run. Files are never changed in place: a reader sees a complete old file or a complete new one.

    Args:
      path: the folder; created by `claim`.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.config = self.path / "config.flags"
        self.mask = self.path / "mask.npz"
        self.mask_report = self.path / "mask.json"
        self.ticket_weights = self.path / "ticket_weights.npz"
        self.scales = self.path / "scales.json"
        self.rescaled_weights = self.path / "rescaled_weights.npz"
        self.teacher = self.path / "teacher"
        self.tickets = self.path / "tickets"
        self.superposed_weights = self.path / "superposed_weights.npz"
        self.superposition = self.path / "superposition.json"
        self.final_mask = self.path / "final_mask.npz"
        self.lottery = self.path / "lottery"
        self.metrics = self.path / "metrics.csv"
        self.devices = self.path / "devices.json"
        self.data = self.path / "data.json"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.result = self.path / "result.json"
        self.figures = self.path / "figures"
        self.analysis = self.path / "analysis"
        self.export = self.path / "export"
        self._lock: io.TextIOBase | None = None
        self._made: list[Path] = []  # the folders created for this run, the innermost first

    def claim(self, config: RunConfig) -> None:
        """Creates the folder for a new run, or opens it to resume the run in it, and locks it.

        Raises:
          TostError: it cannot be written, belongs to a run with other options, is not a run folder, or another process
            is training in it.
        """
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self._require_run_folder()
            self.path.mkdir(parents=True, exist_ok=True)
            # Released by the system when the process ends, however it ends.
            self._lock = open(self.path / LOCK, "a")  # noqa: SIM115 (held for as long as the run)
        except OSError as error:
            raise TostError(f"the run directory {str(self.path)!r} cannot be written: {error.strerror}") from None
        try:
            self._take(config)
        except BaseException:
            self.release()
            raise

    def _take(self, config: RunConfig) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TostError(f"another process is training in {str(self.path)!r}: give this one a --run_dir") from None
        except OSError:
            logging.warning("%s is on a file system without locks: make sure only one process trains there", self.path)
        self._require_folders()
        self._sweep()
        if self.config.exists() and self._has_begun():
            self._require_same(config)
        else:
            write_text(self.config, to_flagfile(config))

    def _require_run_folder(self) -> None:
        """Raises `TostError` if the folder holds files that are not of a run, before anything in it is touched."""
        if not self.path.is_dir() or self.config.exists():
            return
        if any(entry.name != LOCK and not entry.name.startswith(TEMPORARY) for entry in self.path.iterdir()):
            raise TostError(
                f"{str(self.path)!r} holds files but no config.flags, so it is not a run folder: "
                "choose another --run_dir"
            )

    def _require_folders(self) -> None:
        for folder in (self.checkpoints, self.tickets, self.tensorboard, self.figures, self.analysis, self.export):
            require_writable(folder, "the results of the run")

    def _has_begun(self) -> bool:
        """Whether there is anything that depends on the options; if not, the folder may get other options."""
        return any(entry.name not in (LOCK, self.config.name) for entry in self.path.iterdir())

    def _sweep(self) -> None:
        """Removes files that a killed process had not finished writing."""
        for pattern in ("*_temp", "*.tempstate*", "checkpoint.tmp*"):  # TensorFlow's names
            for entry in self.checkpoints.glob(pattern):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        export = (self.export, self.export / "compact")
        for folder in (self.path, self.tickets, self.figures, *export, self.lottery, self.analysis):
            sweep_folder(folder)

    def release(self) -> None:
        """Unlocks the folder for other processes. A run that ended before it made anything leaves nothing behind."""
        if self._lock is not None:
            if self._made and not self._has_begun():
                self._remove()
            self._lock.close()
            self._lock = None

    def _remove(self) -> None:
        for name in (self.config.name, LOCK):
            (self.path / name).unlink(missing_ok=True)
        for folder in self._made:
            with contextlib.suppress(OSError):  # another run may have its folder there now
                folder.rmdir()

    def _require_same(self, config: RunConfig) -> None:
        if not config.training.resume:
            raise TostError(
                f"{str(self.path)!r} already holds a run, and --noresume was given: choose another --run_dir"
            )
        self.require_options(config)

    def require_options(self, config: RunConfig) -> None:
        """Raises `TostError` if the folder's run has other options, except those that do not change the result."""
        try:
            old = read_config(self.config)
        except TostError as error:
            raise TostError(f"{str(self.config)!r} cannot be understood: {error}") from None
        changed = differences(old, config)
        if changed:
            raise TostError(
                f"{str(self.path)!r} belongs to a run with other options ({'; '.join(changed)}): launch it with those, "
                "or choose another --run_dir"
            )

    def read_result(self) -> dict[str, Any] | None:
        """`result.json` of a finished run, `None` if it is not finished or its result or export is damaged."""
        result = read_json(self.result)
        complete = "versions" in result and self.has_export()
        if not complete and self.result.exists():
            logging.warning("the result or the export in %s is incomplete: they are made again", self.path)
        return result if complete else None

    def has_export(self) -> bool:
        """Whether there is a SavedModel that passed its check."""
        entry = read_json(self.export / "manifest.json").get("saved_model", {"failed": "there is none"})
        return "failed" not in entry and (self.export / "saved_model" / "saved_model.pb").exists()

    def read_mask_seconds(self) -> float:
        """The duration of the search for the mask in seconds, 0 if it is no longer known."""
        return float(read_json(self.mask_report).get("mask_seconds", 0.0))

    def read_metrics(self) -> list[dict[str, float | None]]:
        """The rows of `metrics.csv`, one for each epoch, as numbers; `None` where there is none."""
        if not self.metrics.exists():
            return []
        with open(self.metrics, newline="") as file:
            rows = list(csv.DictReader(file))
        try:
            return [_numbers(row) for row in rows]
        except (KeyError, TypeError, ValueError):
            logging.warning("%s cannot be read, its earlier rows are lost", self.metrics)
            return []

    def write_metrics(self, rows: list[dict[str, float]]) -> None:
        """Writes `metrics.csv` with these rows only."""
        text = io.StringIO()
        writer = csv.DictWriter(text, METRICS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.metrics, text.getvalue())


def _numbers(row: dict[str, str]) -> dict[str, float | None]:
    """Of a row of `metrics.csv`."""
    numbers = {name: float(row[name]) for name in METRICS if name not in OPTIONAL}
    optional = {name: float(row[name]) if row.get(name) else None for name in OPTIONAL}
    return numbers | optional | {"epoch": int(row["epoch"])}
