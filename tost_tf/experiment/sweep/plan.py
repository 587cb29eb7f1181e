"""From the cells of a grid to jobs: checks all options, refuses duplicate runs, and finds common masks only once."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tost_tf.errors import TostError
from tost_tf.experiment import flags
from tost_tf.experiment.flags import NOT_COMPARED
from tost_tf.experiment.options import GROUPS, RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.sweep.grid import Cell
from tost_tf.experiment.sweep.job import Job
from tost_tf.registry import MASKS

SHARED = "shared"
# Of the training options, a mask depends only on seed and determinism; a lottery ticket on all except these.
SCHEDULE = ("epochs", "lr_drop_epochs", "resume")


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A run of the sweep: its cell, its options, and its folder."""

    cell: Cell
    config: RunConfig
    run_dir: str

    @property
    def name(self) -> str:
        return Path(self.run_dir).name


@dataclasses.dataclass(frozen=True)
class Plan:
    """The jobs in the order in which they start, and the runs among them that are cells."""

    jobs: tuple[Job, ...]
    runs: tuple[PlannedRun, ...]


def plan(cells: Sequence[Cell], before: Sequence[str], runs_dir: str) -> Plan:
    """The jobs of a sweep. Nothing is written.

    Args:
      cells: of the grid.
      before: flagfiles of complete runs that come first.
      runs_dir: the folder of the cells' runs.

    Raises:
      TostError: an option of a cell is wrong, two cells are the same run or have the same folder, or a folder belongs
        to a run with other options.
    """
    runs = [_planned(cell, runs_dir) for cell in cells]
    first = [_first(flagfile) for flagfile in before]
    _require_different([*first, *runs])
    for run in (*first, *runs):
        _require_own_folder(run)
    masks = _shared_masks(runs, runs_dir)
    of_run = {run.name: name for name, own in masks.items() for run in own}
    folder = str(Path.cwd())
    jobs = [_mask_job(name, own[0].config, runs_dir, folder) for name, own in masks.items()]
    by_folder = {_absolute(run.run_dir): run.name for run in (*first, *runs)}
    for run in (*first, *runs):
        mask = of_run.get(run.name, "")
        teacher = by_folder.get(_absolute(run.config.recipe.teacher), "") if run.config.recipe.teacher else ""
        jobs.append(
            Job(
                name=run.name,
                command="train",
                arguments=(*run.cell.arguments, f"--run_dir={run.run_dir}"),
                folder=folder,
                log=f"{run.run_dir}.log",
                target=run.run_dir,
                needs=tuple(name for name in (mask, teacher) if name),
                mask=_mask_file(runs_dir, mask) if mask else "",
            )
        )
    return Plan(tuple(_in_order(jobs)), tuple(runs))


def _planned(cell: Cell, runs_dir: str) -> PlannedRun:
    run_dir = f"{runs_dir}/{cell.name}"
    try:
        config = flags.parse([*cell.arguments, f"--run_dir={run_dir}"])
    except TostError as error:
        raise TostError(f"in the cell {cell.name!r}: {error}"[:490]) from None
    return PlannedRun(_without_run_dir(cell), config, run_dir)


def _first(flagfile: str) -> PlannedRun:
    config = flags.parse([f"--flagfile={flagfile}"])
    return PlannedRun(Cell({}, {}, (f"--flagfile={flagfile}",)), config, config.machine.run_dir)


def _without_run_dir(cell: Cell) -> Cell:
    """The cell without a folder: a flagfile in a grid may name one, but the grid sets it."""
    return dataclasses.replace(cell, arguments=tuple(a for a in cell.arguments if not a.startswith("--run_dir=")))


def _absolute(path: str) -> Path:
    return Path(path).expanduser().resolve()


def _require_different(runs: Sequence[PlannedRun]) -> None:
    """Raises `TostError` if two runs have the same folder or would be the same run."""
    folders: dict[Path, PlannedRun] = {}
    contents: dict[str, PlannedRun] = {}
    for run in runs:
        same = folders.setdefault(_absolute(run.run_dir), run)
        if same is not run:
            raise TostError(f"two cells have the folder {run.run_dir!r}: {_shown(same)}, and {_shown(run)}")
        twin = contents.setdefault(_content(run.config), run)
        if twin is not run:
            raise TostError(
                f"{twin.name!r} and {run.name!r} would be the same run, no option with an effect differs: leave one "
                "out with --skip, or fix the option without effect in a --case"
            )


def _shown(run: PlannedRun) -> str:
    return " ".join(f"{axis}={text}" for axis, text in run.cell.choices.items()) or " ".join(run.cell.arguments)[:150]


def _content(config: RunConfig) -> str:
    """The options that identify a run, as text."""
    left_out = {*NOT_COMPARED, *(("sparsity", "mask_scope", "mask_pattern") if config.mask.mask == "none" else ())}
    return _text({name: value for name, value in config.options().items() if name not in left_out})


def _text(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True, default=str)


def _require_own_folder(run: PlannedRun) -> None:
    directory = RunDirectory(run.run_dir)
    if any(path.exists() for path in (directory.mask, directory.checkpoints, directory.result)):
        directory.require_options(run.config)


def _shared_masks(runs: Sequence[PlannedRun], runs_dir: str) -> dict[str, list[PlannedRun]]:
    """The masks that several runs without a mask have in common, by name, each with these runs.

    An existing shared mask is used for a single run too.
    """
    found: dict[str, list[PlannedRun]] = {}
    for run in runs:
        mask = run.config.mask
        quick = mask.mask == "none" or mask.file or MASKS[mask.mask].is_quick
        if not quick and not RunDirectory(run.run_dir).mask.exists():
            found.setdefault(_mask_name(run.config), []).append(run)
    return {name: own for name, own in found.items() if len(own) > 1 or Path(_mask_file(runs_dir, name)).exists()}


def _mask_name(config: RunConfig) -> str:
    mask, training = config.mask, config.training
    readable = (
        f"{mask.mask}{100 * mask.sparsity:g}_{Path(config.model.model).stem}_{config.data.dataset}_seed{training.seed}"
    )
    return f"{readable.replace('/', '-')}_{zlib.crc32(_text(_mask_options(config)).encode()):08x}"


def _mask_options(config: RunConfig) -> dict[str, Any]:
    """The options on which the result of a mask search depends."""
    groups = [
        config.data,
        config.model,
        config.mask,
        *(m for m in config.methods if type(m) is MASKS[config.mask.mask].options),
    ]
    options = {name: value for group in groups for name, value in dataclasses.asdict(group).items()}
    training = dataclasses.asdict(config.training)
    is_ticket = config.mask.mask == "lottery"
    names = [name for name in training if name not in SCHEDULE] if is_ticket else ["seed", "deterministic"]
    options |= {name: training[name] for name in names} | {"mixed_precision": config.machine.mixed_precision}
    if config.dynamic.prunes:
        options |= {"dynamic": config.dynamic.dynamic, "initial_sparsity": config.dynamic.initial_sparsity}
    return options


def _mask_file(runs_dir: str, name: str) -> str:
    return f"{runs_dir}/{SHARED}/{name}.npz"


def _mask_job(name: str, config: RunConfig, runs_dir: str, folder: str) -> Job:
    out = _mask_file(runs_dir, name)
    return Job(
        name=name,
        command="mask",
        arguments=(*_as_flags(_mask_options(config) | {"recipe": "default"}), f"--out={out}"),
        folder=folder,
        log=out.removesuffix(".npz") + ".log",
        target=out,
    )


def _as_flags(options: Mapping[str, Any]) -> list[str]:
    """Flags for the options that do not have their default values."""
    defaults = {f.name: f.default for group in GROUPS.values() for f in dataclasses.fields(group)} | {"recipe": "tost"}
    defaults |= {f.name: f.default for name in MASKS if (kind := MASKS[name].options) for f in dataclasses.fields(kind)}
    given = {name: value for name, value in options.items() if value is not None and value != defaults[name]}
    return [f"--{name}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for name, v in given.items()]


def _in_order(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each after those it needs, otherwise in the given order.

    Raises:
      TostError: runs need each other.
    """
    ordered: dict[str, Job] = {}
    left = list(jobs)
    while left:
        ready = [job for job in left if all(name in ordered for name in job.needs)]
        if not ready:
            raise TostError(f"the runs {', '.join(repr(job.name) for job in left[:3])} are teachers of each other")
        for job in ready:
            ordered[job.name] = job
        left = [job for job in left if job.name not in ordered]
    return list(ordered.values())
