"""Finds runs in folders: their options, results and curves, and what is wrong with them."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tost_tf.errors import TostError
from tost_tf.experiment.flags import parse, read_config
from tost_tf.experiment.mask_options import MaskConfig
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import OPTIONAL
from tost_tf.files import read_object

CONFIG, RESULT, METRICS, SWEEP = "config.flags", "result.json", "metrics.csv", "sweep.json"
MANIFEST = "manifest.json"
SEARCH = "_search"  # end of the name of a folder in which tost-mask saves a search
NEEDED = ("test_accuracy", "seed", "versions")  # every result has these


@dataclasses.dataclass(frozen=True)
class Run:
    """A run, finished or not.

    Attributes:
      folder: of the run; it may not exist yet.
      config: its options.
      result: the content of `result.json`; empty if it is not finished.
      labels: its names in a sweep: axis -> name.
      error: why it failed, as recorded by its sweep; empty if it did not.
    """

    folder: Path
    config: RunConfig
    result: Mapping[str, Any]
    labels: Mapping[str, str]
    error: str = ""

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def state(self) -> str:
        """ "finished", "failed", "unfinished" or "pending": not started."""
        if self.result:
            return "finished"
        if self.error:
            return "failed"
        return "unfinished" if (self.folder / CONFIG).exists() else "pending"

    @property
    def keys(self) -> dict[str, Any]:
        """What distinguishes it from other runs: its options, how ghosts end, and the labels of its sweep."""
        config = self.config
        keys = config.options() | {
            "recipe": config.recipe_label,
            "mask": _mask(config),
            "sparsity": self._sparsity(),
            "ghosts": _ghosts(config),
            "ghost_end": _ghost_end(config),
        }
        return keys | dict(self.labels)

    def _sparsity(self) -> float:
        """The requested sparsity; for a mask from a file or of zeros, the measured one."""
        if self.config.mask.mask == "none":
            return 0.0
        if not self.config.mask.has_sparsity:
            return round(float(self.result.get("sparsity", math.nan)), 4)
        return self.config.mask.sparsity

    def latencies(self) -> dict[str, list[dict[str, Any]]]:
        """What `tost-export --latency` has measured: format -> rows of the manifest; empty if it was not run.

        Raises:
          TostError: a manifest is damaged.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        for path in (self.folder / "export" / MANIFEST, self.folder / "export" / "compact" / MANIFEST):
            entries = read_object(path) if path.exists() else {}
            found |= {name: entry["latency"]["rows"] for name, entry in entries.items() if "latency" in entry}
        return found

    def values(self, name: str) -> dict[str, float]:
        """The numbers that a name in `result.json` stands for; empty if there are none.

        A name may be a path: "tickets.0.test_accuracy". The name of an object stands for all numbers in it, the name of
        a list for its length. "layer_density" is computed from "layer_sparsity". "end_accuracy" is the test accuracy at
        the end of training, or of the superposition if there is one.
        """
        if name == "layer_density":
            return {f"density of {path}": 1 - value for path, value in self.result.get("layer_sparsity", {}).items()}
        if name == "end_accuracy":
            superposed = "superpositions" in self.result
            return self.values("test_accuracy" if superposed else "test_accuracy_last") and {
                name: self.result["test_accuracy" if superposed else "test_accuracy_last"]
            }
        return _numbers(name, _at(self.result, name.split(".")))


@dataclasses.dataclass(frozen=True)
class Found:
    """The content of some folders: runs, and problems by folder or file."""

    runs: tuple[Run, ...]
    problems: Mapping[str, str]


def find_runs(folders: Iterable[str | os.PathLike]) -> Found:
    """All runs in and below folders, sorted as in their sweeps, else by name; also those a sweep has not started.

    Files that cannot be read are reported in `problems`; they raise no error.

    Raises:
      TostError: one of the folders does not exist, or is a file.
    """
    runs: dict[Path, Run] = {}
    problems: dict[str, str] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            why = "it is a file" if folder.exists() else "there is no such folder"
            raise TostError(f"{str(folder)!r} is not a folder of runs: {why}")
        for path in _run_folders(folder):
            planned = _planned(path.parent / SWEEP, problems)
            if path not in runs:
                _add(runs, path, planned.get(path.name, {}), problems)
        for sweep in sorted(folder.rglob(SWEEP)):
            for name, cell in _planned(sweep, problems).items():
                if sweep.parent / name not in runs and str(sweep.parent / name) not in problems:
                    _add(runs, sweep.parent / name, cell, problems)
    places = {
        name: place for path in {run.parent for run in runs} for place, name in enumerate(_planned(path / SWEEP, {}))
    }
    ordered = sorted(
        runs.values(), key=lambda run: (str(run.folder.parent), places.get(run.folder.name, -1), _natural(run))
    )
    return Found(tuple(ordered), problems)


def read_curves(run: Run) -> list[dict[str, float]]:
    """The rows of `metrics.csv`, as numbers; NaN where a column is empty, as `plain_loss` is without ghosts.

    Raises:
      TostError: the file is missing or damaged.
    """
    path = run.folder / METRICS
    try:
        with open(path, newline="") as file:
            rows = [
                {name: math.nan if name in OPTIONAL and not value else float(value) for name, value in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, TypeError, ValueError) as error:
        raise TostError(f"{str(path)!r} cannot be read: {error}") from None
    if rows and not {"epoch", "val_accuracy"} <= set(rows[0]):
        raise TostError(f"{str(path)!r} has no columns epoch and val_accuracy")
    return rows


def differing_options(runs: Iterable[Run], without: Iterable[str] = ()) -> dict[str, list[Any]]:
    """The options that are not the same in all runs, each with its values; without seeds and run folders."""
    ignored = {"run_dir", "seed", *without}
    options = [run.config.options() for run in runs]
    found = {name: list(dict.fromkeys(of_run[name] for of_run in options)) for name in (options[0] if options else ())}
    return {name: values for name, values in found.items() if len(values) > 1 and name not in ignored}


def _run_folders(folder: Path) -> list[Path]:
    found = []
    for path, below, files in os.walk(folder, followlinks=True):
        below.sort()
        if CONFIG in files or RESULT in files:
            below.clear()
            if not path.endswith(SEARCH):
                found.append(Path(path))
    return found


def _add(runs: dict[Path, Run], path: Path, cell: Mapping[str, Any], problems: dict[str, str]) -> None:
    try:
        runs[path] = _read(path, cell)
    except TostError as error:
        problems[str(path)] = str(error)


def _read(path: Path, cell: Mapping[str, Any]) -> Run:
    if (path / CONFIG).exists():
        try:
            config = read_config(path / CONFIG)
        except (TostError, OSError) as error:
            raise TostError(f"{CONFIG} cannot be understood: {error}") from None
    elif cell:
        config = parse(cell["arguments"])
    else:
        raise TostError(f"it has a {RESULT}, but no {CONFIG}: not a run of this project, or an incomplete one")
    result = {}
    if (path / RESULT).exists():
        result = read_object(path / RESULT)
        missing = [name for name in NEEDED if name not in result]
        if missing:
            raise TostError(f"{RESULT} has no {missing[0]!r}: not a result of this project, or an incomplete one")
    return Run(path, config, result, cell.get("labels", {}), cell.get("error", ""))


def _planned(sweep: Path, problems: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The cells in a sweep's file by the name of their folder; empty if there is no such file."""
    if not sweep.exists():
        return {}
    try:
        cells = read_object(sweep).get("cells", [])
        return {cell["run"]: {"arguments": list(cell["arguments"])} | cell for cell in cells}
    except (TostError, KeyError, TypeError) as error:
        problems[str(sweep)] = f"it cannot be understood: {error}"
        return {}


def _at(content: Any, path: list[str]) -> Any:
    for name in path:
        if isinstance(content, list) and name.isdigit() and int(name) < len(content):
            content = content[int(name)]
        elif isinstance(content, Mapping) and name in content:
            content = content[name]
        else:
            return None
    return content


def _numbers(name: str, value: Any) -> dict[str, float]:
    if isinstance(value, (int, float)):
        return {name: float(value)}
    if isinstance(value, Mapping):
        return {f"{name}.{key}": float(number) for key, number in value.items() if isinstance(number, (int, float))}
    return {name: float(len(value))} if isinstance(value, list) else {}


def _mask(config: RunConfig) -> str:
    """How the mask was found; for a mask from a file, --mask if it is given too, else the file's name."""
    mask = config.mask
    return mask.found_label if not mask.file or mask.mask != MaskConfig.mask else Path(mask.file).stem


def _ghosts(config: RunConfig) -> str:
    kinds = [kind for kind in (config.recipe.ghost_neurons, config.recipe.ghost_skips) if kind != "none"]
    kinds += [f"{config.recipe.ghost_branches} branches"] if config.recipe.has_branches else []
    return " + ".join(kinds) or "none"


def _ghost_end(config: RunConfig) -> str:
    recipe = config.recipe
    if not recipe.has_ghosts:
        return "no ghosts"
    if recipe.keeps_ghosts:
        return "kept"
    if not recipe.fades_ghosts:
        return f"merged by epoch {recipe.ghost_end_epoch}"
    how = "removed abruptly" if recipe.ghost_schedule == "constant" else f"faded ({recipe.ghost_schedule})"
    return f"{how} by epoch {recipe.ghost_end_epoch}"


def _natural(run: Run) -> list[tuple[bool, float, str]]:
    """The sort key of a name: numbers in it are sorted by size."""
    words = run.folder.name.replace("=", "_").split("_")
    return [
        (word.replace(".", "", 1).isdigit(), float(word) if word.replace(".", "", 1).isdigit() else 0.0, word)
        for word in words
    ]
