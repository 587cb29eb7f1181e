"""Rows of numbers in files: `NAME.json`, and the same as `NAME.csv`."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from pathlib import Path

from tost_tf.files import write_text


class RecordedRows:
    """Rows that are recorded during training, each with the number of its step.

    A resumed run records again what comes after its checkpoint: rows from its first new step on are removed.

    Args:
      folder: of the run.
      name: of the files.
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self._rows: list[dict] | None = None

    def add(self, row: dict) -> None:
        """Writes the rows so far and this one; its `step` must be larger than all before."""
        if self._rows is None:
            self._rows = [earlier for earlier in read_rows(self.folder, self.name) if earlier["step"] < row["step"]]
        self._rows.append(row)
        write_rows(self.folder, self.name, self._rows)


def write_rows(folder: Path, name: str, rows: list[dict]) -> None:
    """Writes rows with the same keys; each file completely or not at all. Numbers not finite are `null` in the JSON."""
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0] if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / f"{name}.csv", table.getvalue())
    write_text(folder / f"{name}.json", json.dumps([_finite(row) for row in rows], indent=1) + "\n")


def read_rows(folder: Path, name: str) -> list[dict]:
    """The rows that were written; empty if there are none or the file is damaged. Numbers not finite become NaN."""
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
