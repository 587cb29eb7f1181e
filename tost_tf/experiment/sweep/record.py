"""`sweep.json`: the names of a sweep's runs and which of them failed, for `tost-report`."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path

from tost_tf.errors import TostError
from tost_tf.experiment.read_runs import SWEEP
from tost_tf.experiment.sweep.plan import Plan
from tost_tf.files import read_object, write_json


def write_record(runs_dir: Path, plan: Plan, errors: Mapping[str, str], grid: Set[str] = frozenset()) -> None:
    """Writes the cells of a sweep into its folder, after those of earlier sweeps that are in the same grid or have a
    folder.

    Args:
      runs_dir: the folder.
      plan: of the sweep.
      errors: name of a run -> why it failed or was not started.
      grid: the names of all its cells, also of those that were not chosen now.
    """
    path = runs_dir / SWEEP
    new = [
        {"run": run.name, "labels": dict(run.cell.labels), "arguments": list(run.cell.arguments)}
        | ({"error": errors[run.name]} if run.name in errors else {})
        for run in plan.runs
    ]
    names = {cell["run"] for cell in new}
    others = [cell for cell in _cells(path) if cell["run"] not in names]
    earlier = [cell for cell in others if cell["run"] in grid or (runs_dir / cell["run"]).is_dir()]
    write_json(path, {"cells": [*earlier, *new]})


def _cells(path: Path) -> list[dict]:
    try:
        cells = read_object(path)["cells"]
        return [cell for cell in cells if isinstance(cell["run"], str)]
    except (TostError, KeyError, TypeError):  # missing or damaged: a new one is written
        return []
