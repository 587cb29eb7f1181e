"""The analyses of runs: numbers in the run's `analysis/` folder, and figures of them."""

from __future__ import annotations

from pathlib import Path

from tost_tf.analysis.analysis import Subject
from tost_tf.analysis.mask_statistics import draw_overlap, mask_overlap
from tost_tf.analysis.options import AnalysisOptions
from tost_tf.errors import TostError
from tost_tf.experiment.run.rows import read_rows, write_rows
from tost_tf.experiment.stages.load_run import LoadedRun, load_run
from tost_tf.registry import ANALYSES


def analyze(path: str | Path, names: tuple[str, ...], options: AnalysisOptions) -> dict[str, list[dict]]:
    """Computes analyses of a run and draws each.

    Args:
      path: the run's folder.
      names: of `ANALYSES`; an analysis that is recorded during training is drawn from the recorded rows.
      options: of the analyses.

    Returns:
      The rows of each analysis, which are also in the run's `analysis/` folder.

    Raises:
      TostError: there is no such run, or a requested analysis was not recorded.
    """
    run = load_run(path)
    results = {}
    for name in names:
        rows = results[name] = _rows(run, name, options)
        title = f"{ANALYSES[name].title}: {_label(run)}"
        ANALYSES[name].draw({_label(run): rows}, run.directory.analysis / f"{name}.png", title)
    return results


def compare(paths: tuple[str, ...], names: tuple[str, ...], options: AnalysisOptions, out: Path) -> None:
    """Computes analyses of several runs with the same options, and draws one figure for each analysis.

    Args:
      paths: the runs' folders.
      names, options: as for `analyze`.
      out: the folder of the figures and, for "mask", of the overlap of two masks (`overlap.json`, `.csv`, `.png`).

    Raises:
      TostError: as for `analyze`.
    """
    if len({Path(path).resolve() for path in paths}) < len(paths):
        raise TostError(f"--compare has the same run twice: {' '.join(map(str, paths))}")
    runs = [load_run(path) for path in paths]
    labels = [_label(run) for run in runs]
    if len({run.config.recipe_label for run in runs}) < len(runs):
        labels = [str(path) for path in paths]
    for name in names:
        results = {}
        for label, run in zip(labels, runs, strict=True):
            results[label] = _rows(run, name, options)
        ANALYSES[name].draw(results, out / f"{name}.png", ANALYSES[name].title)
    if "mask" in names:
        _draw_overlap(runs, labels, out)


def _draw_overlap(runs: list[LoadedRun], labels: list[str], out: Path) -> None:
    """Draws how similar the masks of the first two runs are, if both have masks of the same network."""
    first, second = runs[:2]
    shapes = [{path: mask.shape for path, mask in (run.masks or {}).items()} for run in (first, second)]
    if shapes[0] and shapes[0] == shapes[1]:
        rows = mask_overlap(first.masks, second.masks)
        write_rows(out, "overlap", rows)
        draw_overlap(rows, out / "overlap.png", f"masks of {labels[0]} and {labels[1]}")


def recorded(path: str | Path, name: str) -> bool:
    """Whether the run has the rows of an analysis that is recorded during training."""
    return bool(read_rows(Path(path) / "analysis", name))


def _rows(run: LoadedRun, name: str, options: AnalysisOptions) -> list[dict]:
    analysis = ANALYSES[name]
    if analysis.compute is not None:
        rows = analysis.compute(Subject(run.model, run.masks, run.data), options)
        write_rows(run.directory.analysis, name, rows)
        return rows
    rows = read_rows(run.directory.analysis, name)
    if not rows:
        raise TostError(f"{name} was not recorded in {str(run.directory.path)!r}: train with --{analysis.recorded_by}")
    return rows


def _label(run: LoadedRun) -> str:
    return f"{run.config.recipe_label}, epoch {run.epoch}"
