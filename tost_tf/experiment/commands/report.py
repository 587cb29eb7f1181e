"""`tost-report`: tables, figures and a page of the runs in some folders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tost_tf.errors import TostError, unknown_name
from tost_tf.experiment import flags
from tost_tf.experiment.commands.command import asks_for_help, run_command
from tost_tf.experiment.read_runs import Run, find_runs
from tost_tf.experiment.report_options import FIGURES, ReportOptions
from tost_tf.files import require_writable

if TYPE_CHECKING:
    from tost_tf.experiment.study import Study

SUMMARY = """Makes tables and figures of the runs in folders: tost-report RUNS... [--name=value ...]

It reads the files of runs (config.flags, result.json, metrics.csv, figures/) and needs no TensorFlow.
Cells are means ± standard deviations over seeds, and paired gains over a baseline."""


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    if asks_for_help(arguments):
        print(flags.own_help_text("tost-report RUNS...", SUMMARY, ReportOptions))
        return
    options, folders = flags.parse_own(arguments, ReportOptions)
    if not folders:
        raise TostError("no folder of runs is given: tost-report RUNS... [--rows=mask,recipe] [--columns=sparsity]")
    out = Path(options.out) if options.out else Path(folders[0]) if options.html else None
    figures = _figures(options.figures)
    if figures and out is None:
        raise TostError(f"--figures={options.figures} needs --out=FOLDER, the folder of the figures")
    if out is not None:
        require_writable(out, f"--out={str(out)!r}")
    found = find_runs(folders)
    for name, problem in found.problems.items():
        print(f"tost-report: {name}: {problem}", file=sys.stderr)
    _print_unfinished(found.runs)

    from tost_tf.experiment.study import Study  # pandas and SciPy take a second

    study = Study.make(found, options)
    print(study.text(options.format))
    if out is not None:
        try:
            _write(study, out, figures, options)
        except OSError as error:
            raise TostError(f"{str(out)!r} cannot be written: {error.strerror or error}") from None


def _write(study: Study, out: Path, figures: Sequence[str], options: ReportOptions) -> None:
    from tost_tf.experiment.study_files import draw, write_html, write_tables

    written = write_tables(study, out) if options.out else []
    drawn = draw(study, out, figures or (FIGURES if options.html else ()))
    written += drawn
    if options.html:
        written.append(write_html(study, out / "report.html", drawn))
    print("\n".join(f"written  {path}" for path in written))


def _figures(names: str) -> tuple[str, ...]:
    figures = FIGURES if names == "all" else tuple(name for name in names.split(",") if name)
    for name in figures:
        if name not in FIGURES:
            raise unknown_name("--figures", name, (*FIGURES, "all"))
    return figures


def _print_unfinished(runs: Sequence[Run]) -> None:
    """Prints to standard error which runs are not finished, and why."""
    for run in runs:
        if run.state != "finished":
            print(f"tost-report: {run.name}: {run.state}{f': {run.error}' if run.error else ''}", file=sys.stderr)


def run() -> None:
    """The console script."""
    sys.exit(run_command("tost-report", main))


if __name__ == "__main__":
    run()
