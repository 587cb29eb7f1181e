"""A table of runs: the choice of runs, its rows and columns, and what it is compared with."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tost_tf
from tost_tf.errors import TostError, unknown_name
from tost_tf.experiment.flags import NOT_COMPARED
from tost_tf.experiment.read_runs import Found, Run, differing_options
from tost_tf.experiment.report_options import ReportOptions
from tost_tf.report.paper import FACTS, beside_paper, read_paper
from tost_tf.report.table_text import VALUE, WRITERS, caption, grid, to_csv
from tost_tf.report.tables import RUN, SEED, cells, column_of

PAPER = Path("benchmarks/paper_numbers.csv")
MOST_MIXED = 5  # options named in a warning


@dataclasses.dataclass(frozen=True)
class Study:
    """Runs and their table.

    Attributes:
      runs: those of the table, finished or not.
      problems: folder or file -> why it could not be read.
      rows, columns: keys, or "value".
      baseline: keys and values of the cells gains are computed against.
      table: from `report.tables.cells`.
    """

    runs: tuple[Run, ...]
    problems: Mapping[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    baseline: Mapping[str, Any]
    table: pd.DataFrame

    @classmethod
    def make(cls, found: Found, options: ReportOptions) -> Study:
        """Makes the table that the options describe.

        Raises:
          TostError: there are no runs, a name is unknown, or two runs with the same seed belong in one cell.
        """
        rows, columns = _names(options.rows), _names(options.columns)
        if not rows:
            raise TostError("--rows is empty: name what identifies a row, such as --rows=mask,recipe")
        runs = _without_twins(_chosen(found, options.where))
        keys = tuple(key for key in (*rows, *columns) if key != VALUE)
        known = _all_keys(runs)
        for flag, names in (("--rows", rows), ("--columns", columns)):
            for name in names:
                if name not in known and name != VALUE:
                    raise unknown_name(flag, name, (*known, VALUE))
        baseline = _baseline(options.baseline, keys, runs)
        frame, values = _frame(runs, keys, _names(options.value))
        _check_places(runs, keys)
        table = cells(frame, keys, values, baseline)
        if options.against_paper:
            table = beside_paper(table, _facts(table, keys, runs), read_paper(_paper_file()))
            if not table["paper"].any():
                logging.warning("--against_paper: no cell of these runs is in the paper, whose numbers are accuracies")
        if VALUE not in (*rows, *columns) and len(values) > 1:
            columns = (*columns, VALUE)
        return cls(tuple(runs), found.problems, rows, columns, baseline, table)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for key in (*self.rows, *self.columns) if key != VALUE)

    def of_keys(self, keys: Sequence[str]) -> pd.DataFrame:
        """The table of the first value with other keys, without gains."""
        frame, values = _frame(self.runs, keys, [self.table["value"].iloc[0]])
        return cells(frame, keys, values)

    @property
    def grid(self) -> pd.DataFrame:
        return grid(self.table, self.rows, self.columns)

    @property
    def caption(self) -> str:
        return caption(self.table, self.baseline)

    def text(self, form: str) -> str:
        """The table as "markdown", "latex" or "csv"."""
        if form == "csv":
            return to_csv(self.table, self.keys)
        return WRITERS[form](self.grid, self.caption)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _pairs(flag: str, text: str, known: Mapping[str, Any]) -> dict[str, str]:
    pairs = {}
    for part in _names(text):
        name, equals, value = part.partition("=")
        if not equals:
            raise TostError(f"{flag} has {part!r}, it must have the form name=value")
        if name not in known:
            raise unknown_name(flag, name, known)
        pairs[name] = value
    return pairs


def _same(value: Any, text: str) -> bool:
    """Whether a key's value is what a user wrote as `text`."""
    if isinstance(value, float):
        try:
            return value == float(text)
        except ValueError:
            return False
    if isinstance(value, bool):
        return str(value).lower() == text.lower()
    return str(value) == text


def _chosen(found: Found, where: str) -> list[Run]:
    if not found.runs:
        raise TostError("there are no runs in the given folders")
    pairs = _pairs("--where", where, _all_keys(found.runs))
    runs = [run for run in found.runs if all(_same(run.keys.get(name), text) for name, text in pairs.items())]
    if not runs:
        raise TostError(f"--where={where} matches none of the {len(found.runs)} runs")
    return runs


def _without_twins(runs: Sequence[Run]) -> list[Run]:
    """The runs without those that are not finished, and of which a finished one has all the options."""

    def compared(run: Run) -> frozenset:
        return frozenset(item for item in run.config.options().items() if item[0] not in NOT_COMPARED)

    finished = {compared(run): run for run in runs if run.result}
    kept = []
    for run in runs:
        twin = None if run.result else finished.get(compared(run))
        if twin is None:
            kept.append(run)
        else:
            logging.warning("%s is left out: %s has the same options and is finished", run.name, twin.name)
    return kept


def _all_keys(runs: Sequence[Run]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for run in runs:
        keys |= run.keys
    return keys


def _baseline(text: str, keys: Sequence[str], runs: Sequence[Run]) -> dict[str, Any]:
    """The keys and values of the baseline's cells."""
    if text == "none":
        return {}
    found = {key: list(dict.fromkeys(run.keys.get(key) for run in runs)) for key in keys}
    if not text:
        return {"recipe": "default"} if "default" in found.get("recipe", ()) else {}
    baseline = {}
    for key, wanted in _pairs("--baseline", text, found).items():
        same = [value for value in found[key] if _same(value, wanted)]
        if not same:
            raise TostError(f"--baseline: no run has {key}={wanted}; there are {', '.join(map(str, found[key]))}"[:480])
        baseline[key] = same[0]
    return baseline


def _frame(runs: Sequence[Run], keys: Sequence[str], names: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """A row for each run with its keys, seed, name and numbers; and the names of the values."""
    rows, values = [], {}
    for run in runs:
        numbers = {}
        for name in names:
            found = run.values(name)
            if run.result and not found:
                logging.warning("%s has no number %r in result.json", run.name, name)
            numbers |= found
        values |= dict.fromkeys(numbers)
        named = {key: run.keys.get(key, "") for key in keys} | {SEED: run.config.training.seed, RUN: run.name}
        rows.append(named | {column_of(name): number for name, number in numbers.items()})
    if any(run.result for run in runs) and not values:
        raise TostError(f"no run has a number {', '.join(map(repr, names))} in its result.json")
    order = list(values) or list(names)
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*keys, SEED, RUN, *map(column_of, order)]))), order


def _check_places(runs: Sequence[Run], keys: Sequence[str]) -> None:
    """Raises `TostError` if two runs have the same cell and seed, naming the differences; warns of mixed cells."""
    places: dict[tuple, list[Run]] = {}
    for run in runs:
        places.setdefault(tuple(run.keys.get(key, "") for key in keys), []).append(run)
    mixed: dict[str, list[Any]] = {}
    for own in places.values():
        for first, second in itertools.combinations(own, 2):
            if first.config.training.seed == second.config.training.seed:
                raise TostError(_in_one_place(first, second))
        mixed |= differing_options(own, NOT_COMPARED)
    if mixed:
        named = "; ".join(
            f"--{name}={', '.join(map(str, values))}" for name, values in list(mixed.items())[:MOST_MIXED]
        )
        logging.warning(
            "runs of one cell differ in more than their seeds (%s): see --rows, --columns and --where", named
        )


def _in_one_place(first: Run, second: Run) -> str:
    different = list(differing_options((first, second), NOT_COMPARED))
    what = f"they differ in --{', --'.join(different[:MOST_MIXED])}" if different else "they have the same options"
    return (
        f"{first.name!r} and {second.name!r} would be in the same cell of the table, with seed "
        f"{first.config.training.seed}: {what}; add what distinguishes them to --rows or --columns, or use --where"
    )


def _facts(table: pd.DataFrame, keys: Sequence[str], runs: Sequence[Run]) -> pd.DataFrame:
    """The facts that identify a cell of the table in the paper; NaN if its runs differ in a fact."""
    found: dict[tuple, dict[str, set]] = {}
    for run in runs:
        place = found.setdefault(tuple(run.keys.get(key, "") for key in keys), {name: set() for name in FACTS})
        for name in FACTS:
            place[name].add(run.config.recipe_label if name == "recipe" else run.keys[name])
    rows = [found[tuple(row)] for row in table[list(keys)].to_numpy().tolist()]
    return pd.DataFrame(
        [{name: next(iter(own[name])) if len(own[name]) == 1 else np.nan for name in FACTS} for own in rows]
    )


def _paper_file() -> Path:
    """The file of the paper's numbers: in the working folder, or in the source tree of this package."""
    for folder in (Path(), Path(tost_tf.__file__).parents[1]):
        if (folder / PAPER).is_file():
            return folder / PAPER
    raise TostError(f"--against_paper needs {PAPER}, which is part of the source tree: run it there")
