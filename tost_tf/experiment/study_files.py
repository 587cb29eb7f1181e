"""The files `tost-report` writes for a study: tables, figures, and a page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tost_tf.errors import TostError
from tost_tf.experiment.flags import NOT_COMPARED
from tost_tf.experiment.read_runs import Run, differing_options, read_curves
from tost_tf.experiment.study import Study
from tost_tf.files import write_text
from tost_tf.report.page import RunEntry, write_page
from tost_tf.report.study_figures import (
    accuracy_by_latency,
    accuracy_by_seconds,
    accuracy_by_sparsity,
    breakdown,
    curves,
    mean_curves,
    mean_latencies,
    mean_seconds,
)
from tost_tf.report.table_text import quantity

TABLES = {"markdown": "table.md", "latex": "table.tex", "csv": "table.csv"}


def write_tables(study: Study, out: Path) -> list[Path]:
    """Writes the table in all formats, and returns the paths."""
    for form, name in TABLES.items():
        write_text(out / name, study.text(form))
    return [out / name for name in TABLES.values()]


def draw(study: Study, out: Path, names: Sequence[str]) -> list[Path]:
    """Draws the named figures, each with a .csv file of its numbers; figures without numbers are left out."""
    return [path for name in names if (path := DRAWN[name](study, out / f"{name}.png")) is not None]


def _first_value(study: Study) -> pd.DataFrame:
    return study.table[study.table["value"] == study.table["value"].iloc[0]]


def _accuracy(study: Study, path: Path) -> Path | None:
    lines = [key for key in study.keys if key != "sparsity"]
    table = study.of_keys([*lines, "sparsity"])
    if not lines or table.dropna(subset=["mean"])["sparsity"].nunique() < 2:
        return None
    _save(table, path)
    accuracy_by_sparsity(table, lines, path, "over sparsity")
    return path


def _breakdown(study: Study, path: Path) -> Path | None:
    table = _first_value(study)
    if table["difference"].isna().all():
        return None
    _save(table, path)
    by_row = [key for key in study.rows if key in study.keys]
    by_column = [key for key in study.columns if key in study.keys]
    named = ", ".join(f"{key}={value}" for key, value in study.baseline.items())
    breakdown(table, by_row, by_column, path, f"gain over {named}")
    return path


def _ghostliness(study: Study, path: Path) -> Path | None:
    """Figure 6 of the paper: how ghosts end, by sparsity. Needs runs with ghosts that end in different ways."""
    with_ghosts = [run for run in study.runs if run.config.recipe.has_ghosts and run.result]
    if len({run.keys["ghost_end"] for run in with_ghosts}) < 2:
        return None
    # What else the table tells apart is not averaged over.
    others = [key for key in study.keys if key not in ("recipe", "ghosts", "ghost_end", "sparsity")]
    keys = [key for key in others if len({run.keys.get(key, "") for run in with_ghosts}) > 1]
    names = ["ghosts", "ghost_end", "sparsity", *keys]
    rows = {key: [run.keys.get(key, "") for run in with_ghosts] for key in names}
    value = study.table["value"].iloc[0]
    rows["mean"] = [run.values(value).get(value, float("nan")) for run in with_ghosts]
    grouped = pd.DataFrame(rows).groupby(names, sort=False)["mean"]
    table = grouped.agg(mean="mean", std="std", seeds="count").reset_index().assign(value=value)
    _save(table, path)
    accuracy_by_sparsity(table, ["ghost_end", *keys], path, "how ghosts end", panels="ghosts")
    return path


def _curves(study: Study, path: Path) -> Path | None:
    def cell(run: Run) -> tuple:
        return tuple(run.keys.get(key, "") for key in study.keys)

    rows = []
    finished = {cell(run) for run in study.runs if run.state == "finished"}
    for run in study.runs:
        # The mean of a cell would jump where a run that is not finished ends.
        if run.state == "finished" or (run.state == "unfinished" and cell(run) not in finished):
            keys = dict(zip(study.keys, cell(run), strict=True))
            rows += [keys | {name: row[name] for name in ("epoch", "val_accuracy")} for row in _readable_curves(run)]
    if not rows:
        return None
    table = mean_curves(rows, study.keys)
    _save(table, path)
    curves(table, study.keys, path, "learning curves")
    return path


def _seconds(study: Study, path: Path) -> Path | None:
    """What runs reach and how long they train."""
    value = study.table["value"].iloc[0]
    rows = []
    for run in study.runs:
        numbers, seconds = run.values(value), run.values("train_seconds")
        if len(numbers) == len(seconds) == 1:
            keys = {key: run.keys.get(key, "") for key in study.keys}
            rows.append(keys | {"accuracy": next(iter(numbers.values())), "seconds": seconds["train_seconds"]})
    if not rows:
        return None
    by_row = [key for key in study.rows if key in study.keys]
    by_column = [key for key in study.columns if key in study.keys]
    table = mean_seconds(rows, study.keys).assign(value=value)
    _save(table, path)
    accuracy_by_seconds(table, by_row or by_column, by_column if by_row else [], path, "over the time of training")
    return path


def _latency(study: Study, path: Path) -> Path | None:
    """What networks reach and how long they take, compacted and without zeros. Needs runs that were measured."""
    value = study.table["value"].iloc[0]
    rows = []
    for run in study.runs:
        numbers = run.values(value)
        if len(numbers) == 1:
            keys = {key: run.keys.get(key, "") for key in study.keys} | {"accuracy": next(iter(numbers.values()))}
            rows += [keys | row for row in _readable_latencies(run)]
    if not rows:
        return None
    table = mean_latencies(rows, study.keys).assign(value=value)
    _save(table, path)
    accuracy_by_latency(table, study.keys, path, "over latency; hollow: without zeros")
    return path


DRAWN = {
    "accuracy": _accuracy,
    "breakdown": _breakdown,
    "ghostliness": _ghostliness,
    "curves": _curves,
    "latency": _latency,
    "seconds": _seconds,
}


def _readable_latencies(run: Run) -> list[dict[str, Any]]:
    try:
        return [
            {"format": name} | {key: row[key] for key in ("threads", "batch", "network", "milliseconds")}
            for name, rows in run.latencies().items()
            for row in rows
        ]
    except (TostError, KeyError, TypeError) as error:
        logging.warning("%s: its latency cannot be read: %s", run.name, error)
        return []


def _readable_curves(run: Run) -> list[dict[str, float]]:
    try:
        return read_curves(run)
    except TostError as error:
        logging.warning("%s", error)
        return []


def _save(table: pd.DataFrame, path: Path) -> None:
    write_text(
        path.with_suffix(".csv"), table.drop(columns="values", errors="ignore").to_csv(index=False, float_format="%.6g")
    )


def write_html(study: Study, path: Path, figures: Sequence[Path]) -> Path:
    """Writes the page: the table, the figures, and all runs with their figures."""
    different = differing_options(study.runs, NOT_COMPARED)
    names = ["seed", *different]
    options = study.runs[0].config.options()
    common = {
        name: _shown(value) for name, value in options.items() if name not in ("run_dir", *names) and value is not None
    }
    values = list(dict.fromkeys(study.table["value"]))
    shown = list(dict.fromkeys(["test_accuracy", *(value for value in values if "." not in value), "train_seconds"]))
    entries = [_entry(run, shown, names) for run in study.runs]
    title = f"{len(study.runs)} runs of {', '.join(sorted({run.config.data.dataset for run in study.runs}))}"
    write_page(path, title, study.grid, study.caption, figures, entries, common, study.problems)
    return path


def _entry(run: Run, values: Sequence[str], options: Sequence[str]) -> RunEntry:
    numbers = {name: quantity(name).text(number) for name in values for number in run.values(name).values()}
    texts = {name: _shown(run.config.options()[name]) for name in options}
    figures = sorted((run.folder / "figures").glob("*.png"))
    return RunEntry(run.folder.name, run.state, run.error, numbers, texts, figures)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
