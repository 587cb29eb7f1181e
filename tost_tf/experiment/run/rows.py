"""Rows of numbers on disk: `NAME.json`, and the same as `NAME.csv`."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from pathlib import Path

from tost_tf.files import write_text


class RecordedRows:
    """Rows that are recorded while a run trains, each with the number of its step.

    A run that resumes records again what comes after its checkpoint: rows from the first new step on are dropped.

    Args:
      folder: of the run.
      name: of the files.
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self._rows: list[dict] | None = None

    def add(self, row: dict) -> None:
        """Writes the rows so far and this one, whose `step` is above that of any before."""
        if self._rows is None:
            self._rows = [earlier for earlier in read_rows(self.folder, self.name) if earlier["step"] < row["step"]]
        self._rows.append(row)
        write_rows(self.folder, self.name, self._rows)


def write_rows(folder: Path, name: str, rows: list[dict]) -> None:
    """Writes rows with the same keys, whole or not at all. What is not finite is `null` in the JSON."""
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0] if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / f"{name}.csv", table.getvalue())
    write_text(folder / f"{name}.json", json.dumps([_finite(row) for row in rows], indent=1) + "\n")


def read_rows(folder: Path, name: str) -> list[dict]:
    """The rows that were written, none if there are none or they are damaged. What was not finite is NaN."""
    path = folder / f"{name}.json"
    try:
        rows = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        logging.warning("%s cannot be read: %s", path, error)
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return []
    return [{key: math.nan if value is None else value for key, value in row.items()} for row in rows]


def _finite(row: dict) -> dict:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
