"""The folder of a run: what lies where, and whose it is."""

import csv
import fcntl
import io
import json
import os
from pathlib import Path
from typing import Any

from tost_tf.config.flags import differences, read_flagfile, to_flagfile
from tost_tf.config.run_config import RunConfig
from tost_tf.errors import TostError
from tost_tf.files import write_text

METRICS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "alpha",
    "beta",
    "sparsity",
    "seconds",
)


class RunDirectory:
    """A run's folder. Nothing in it is ever written in place: a reader sees a whole old file or a whole new one.

    Args:
      path: the folder; made by `claim`.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.config = self.path / "config.flags"
        self.mask = self.path / "mask.npz"
        self.mask_report = self.path / "mask.json"
        self.ticket_weights = self.path / "ticket_weights.npz"
        self.scales = self.path / "scales.json"
        self.rescaled_weights = self.path / "rescaled_weights.npz"
        self.lottery = self.path / "lottery"
        self.metrics = self.path / "metrics.csv"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.result = self.path / "result.json"
        self.figures = self.path / "figures"
        self.export = self.path / "export"
        self._lock: io.TextIOBase | None = None

    def claim(self, config: RunConfig) -> None:
        """Makes the folder for a new run, or takes it over to go on with the run in it.

        Raises:
          TostError: it cannot be written, belongs to other options, is not a run's folder, or another process is
            training in it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Released by the system when the process ends, however it ends.
            self._lock = open(self.path / ".lock", "w")  # noqa: SIM115 (held for as long as the run)
        except OSError as error:
            raise TostError(f"the run directory {str(self.path)!r} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TostError(f"another process is training in {str(self.path)!r}: give this one a --run_dir") from None
        if self.config.exists():
            self._require_same(config)
        elif any(entry.name != ".lock" and not entry.name.startswith(".config") for entry in self.path.iterdir()):
            raise TostError(
                f"{str(self.path)!r} holds files but no config.flags, so it is no run's folder: "
                "choose another --run_dir"
            )
        else:
            write_text(self.config, to_flagfile(config))

    def release(self) -> None:
        """Lets other processes have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _require_same(self, config: RunConfig) -> None:
        if not config.training.resume:
            raise TostError(
                f"{str(self.path)!r} holds a run already and --noresume was given: choose another --run_dir"
            )
        try:
            old = read_flagfile(self.config)
        except TostError as error:
            raise TostError(f"{str(self.config)!r} cannot be understood: {error}") from None
        changed = differences(old, config)
        if changed:
            raise TostError(
                f"{str(self.path)!r} belongs to a run with other options ({'; '.join(changed)}): launch it with those, "
                "or choose another --run_dir"
            )

    def read_result(self) -> dict[str, Any] | None:
        """`result.json` of a finished run, `None` if it is not finished."""
        return json.loads(self.result.read_text()) if self.result.exists() else None

    def read_metrics(self) -> list[dict[str, float]]:
        """The rows of `metrics.csv`, one an epoch, all numbers."""
        if not self.metrics.exists():
            return []
        with open(self.metrics, newline="") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        return [row | {"epoch": int(row["epoch"])} for row in rows]

    def write_metrics(self, rows: list[dict[str, float]]) -> None:
        """Writes `metrics.csv` anew."""
        text = io.StringIO()
        writer = csv.DictWriter(text, METRICS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.metrics, text.getvalue())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON that people can read, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")
