"""Whether a run that resumes has the data it began with."""

from __future__ import annotations

import logging

from tost_tf.data.images import ImageData
from tost_tf.errors import TostError
from tost_tf.experiment.run.agreement import checksum
from tost_tf.experiment.run.run import Run
from tost_tf.files import read_json, write_json


def note_data(run: Run) -> None:
    """Writes down, at the first training, what the data is, as checksums."""
    if run.writes and not run.directory.data.exists():
        write_json(run.directory.data, _checksums(run.data))


def require_same_data(run: Run) -> None:
    """Compares the data with what the run was trained on before; it logs a warning if only values differ.

    Readers of compressed images differ by a bit between machines; labels do not.

    Raises:
      TostError: the labels of a part differ: there are other examples, or their order is another.
    """
    before = read_json(run.directory.data)
    for part, now in _checksums(run.data).items() if before else ():
        then = before.get(part, now)
        if then["labels"] != now["labels"] or then["number"] != now["number"]:
            raise TostError(
                f"the {part} part of --dataset={run.config.data.dataset} has changed since this run began: it had "
                f"{then['number']} examples, now it has {now['number']}, or their order is another; restore the data, "
                "or choose another --run_dir"
            )
        if then["examples"] != now["examples"]:
            logging.warning("the %s examples are not exactly those this run began with", part)


def _checksums(data: ImageData) -> dict[str, dict[str, int]]:
    parts = {"training": data.train, "validation": data.validation, "test": data.test}
    return {
        name: {"number": len(part), "examples": checksum(part.images), "labels": checksum(part.labels)}
        for name, part in parts.items()
    }
