"""`tost-sweep`: a grid of runs on a Dask cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from tost_tf.errors import TostError, unknown_name
from tost_tf.experiment import flags
from tost_tf.experiment.commands.command import asks_for_help, run_command
from tost_tf.experiment.sweep.engine import require_dask, run_all
from tost_tf.experiment.sweep.grid import Cell, read_grid
from tost_tf.experiment.sweep.job import FINISHED
from tost_tf.experiment.sweep.plan import Plan, plan
from tost_tf.experiment.sweep.record import write_record
from tost_tf.experiment.sweep_options import SweepOptions
from tost_tf.files import require_writable

SUMMARY = """Runs a grid: a flag may have several values separated by |, as in --seed='0|1|2' --sparsity='0.9|0.95'.

Each cell is a tost-train process with its own folder; finished runs are kept, stopped ones resume. In a flagfile the
values need no quotes. A value that consists of several flags is written as a line --case=AXIS/NAME: FLAGS. As
everywhere, the last of several flags with one name counts.
Regular expressions (--dense_layers, --layer_sparsity, --new_layers) are not split."""
MOST_NAMED = 5


def main(arguments: Sequence[str]) -> None:
    """Runs the command. All options of all cells are checked before any run; only runs import TensorFlow."""
    if asks_for_help(arguments):
        print(flags.help_text("tost-sweep", SUMMARY, SweepOptions))
        return
    if any(
        re.match(r"--?run_dir(=|$)", argument) for argument in arguments
    ):  # one in a flagfile is that of its own run
        raise TostError(
            "--run_dir is set by the sweep, to a folder in --runs_dir for each run: give --runs_dir instead"
        )
    kinds = {field.name: str(field.type) for field in dataclasses.fields(SweepOptions)}
    cells, own = read_grid(arguments, kinds)
    skips = own.pop("skip")
    options, _ = flags.parse_own([f"--{name}={values[-1]}" for name, values in own.items() if values], SweepOptions)
    runs_dir = (options.runs_dir or _default_folder(arguments)).rstrip("/")
    chosen = _chosen(cells, skips, options.only)
    before = [name for name in options.before.split("|") if name]
    made = plan(chosen, before, runs_dir)
    if options.dry_run:
        _print_commands(made)
        return
    require_dask()
    require_writable(runs_dir, f"--runs_dir={runs_dir}")
    _sweep(made, Path(runs_dir), options, {cell.name for cell in cells})


def _sweep(made: Plan, runs_dir: Path, options: SweepOptions, grid: Set[str]) -> None:
    from tqdm import tqdm

    left = [job for job in made.jobs if not job.is_finished]
    needed = {name for job in left for name in job.needs}
    # Finished jobs that others need are submitted again: they return immediately.
    jobs = [job for job in made.jobs if job in left or job.name in needed]
    print(
        f"{len(made.runs)} runs in {runs_dir}: {len(made.jobs) - len(left)} finished before, {len(left)} to do",
        flush=True,
    )
    errors: dict[str, str] = {}
    try:
        write_record(runs_dir, made, errors, grid)
    except OSError as error:
        raise TostError(f"{runs_dir} cannot be written: {error.strerror}") from None
    if left:
        with tqdm(total=len(left), unit="run", desc=runs_dir.name, dynamic_ncols=True) as progress:
            for outcome in run_all(jobs, options.scheduler, options.jobs, options.threads):
                if outcome.state != FINISHED:
                    errors[outcome.name] = f"{outcome.state}: {outcome.error}"
                    progress.write(f"{outcome.name}: {errors[outcome.name]}")
                    progress.set_postfix(failed=len(errors))
                    # A full disk must not end the sweep; the reason of the failure is printed above.
                    with contextlib.suppress(OSError):
                        write_record(runs_dir, made, errors, grid)
                progress.update(any(job.name == outcome.name for job in left))
    if errors:
        raise TostError(_failures(errors, len(left), runs_dir))
    print(f"all finished: tost-report {runs_dir}")


def _failures(errors: Mapping[str, str], count: int, runs_dir: Path) -> str:
    named = ", ".join(repr(name) for name in list(errors)[:MOST_NAMED]) + (", ..." if len(errors) > MOST_NAMED else "")
    return (
        f"{len(errors)} of {count} are not finished ({named}): see the reasons above and {runs_dir}/NAME.log; "
        "the same command tries them again"
    )


def _print_commands(made: Plan) -> None:
    """Prints a command in each line. Started so, each run finds its mask itself: the one the sweep would share."""
    for job in made.jobs:
        if job.command == "train":
            print(job.shell_command)


def _default_folder(arguments: Sequence[str]) -> str:
    """runs/NAME, by the last flagfile of the command line."""
    words = " ".join(arguments)
    named = re.findall(r"--?flagfile[= ](\S+)", words)
    if not named or "|" in named[-1]:
        raise TostError("--runs_dir, the folder of the runs, is needed unless a single flagfile gives its name")
    return f"runs/{Path(named[-1]).stem}"


def _chosen(cells: Sequence[Cell], skips: Sequence[str], only: str) -> list[Cell]:
    """The cells selected by --only, without those of --skip."""
    kept = list(cells)
    for skip in skips:
        pairs = _pairs("--skip", skip, cells)
        kept = [cell for cell in kept if not _has(cell, pairs)]
    pairs = _pairs("--only", only, cells)
    kept = [cell for cell in kept if _has(cell, pairs)]
    if not kept:
        raise TostError(f"no cell of the {len(cells)} is left by --only={only} and --skip")
    return kept


def _pairs(flag: str, text: str, cells: Sequence[Cell]) -> dict[str, str]:
    known = {name for cell in cells for name in _values(cell)}
    pairs = {}
    for part in filter(None, re.split(r",(?=\w+=)", text)):  # a value may have commas, as --lr_drop_epochs
        name, equals, value = part.partition("=")
        if not equals:
            raise TostError(f"{flag} has {part!r}, it must have the form name=value")
        if name not in known:
            raise unknown_name(flag, name, known)
        if value not in (found := {_values(cell).get(name) for cell in cells}):
            raise TostError(
                f"{flag}={text}: no cell has {name}={value}; there are {', '.join(sorted(map(str, found)))}"[:480]
            )
        pairs[name] = value
    return pairs


def _values(cell: Cell) -> dict[str, str]:
    given = dict(argument.removeprefix("--").split("=", 1) for argument in cell.arguments)
    return given | dict(cell.choices)


def _has(cell: Cell, pairs: Mapping[str, str]) -> bool:
    values = _values(cell)
    return all(values.get(name) == value for name, value in pairs.items())


def run() -> None:
    """The console script."""
    sys.exit(run_command("tost-sweep", main))


if __name__ == "__main__":
    run()
