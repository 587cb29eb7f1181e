"""The analyses of runs: numbers into the run's `analysis/` folder, then pictures of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tost_tf.analysis.activations import activation_sparsity
from tost_tf.analysis.hessian import MaskedHessian, top_eigenvalues
from tost_tf.analysis.landscape import input_landscape, loss_along_direction, weight_landscape
from tost_tf.analysis.mask_spectrum import mask_overlap, mask_spectrum
from tost_tf.data.pipeline import first_examples
from tost_tf.errors import TostError
from tost_tf.experiment.analyze_options import AnalyzeOptions
from tost_tf.experiment.run.rows import read_rows, write_rows
from tost_tf.experiment.stages.load_run import LoadedRun, load_run
from tost_tf.masks.sparsify import strip
from tost_tf.report import analysis_figures

EIGENVALUES = 5


@dataclasses.dataclass(frozen=True)
class Analysis:
    """How numbers are made (`None`: they are recorded while a run trains, by `option`) and drawn."""

    compute: Callable[[LoadedRun, AnalyzeOptions], list[dict]] | None
    draw: Callable[[dict[str, list[dict]], Path, str], None]
    title: str
    option: str = ""


def analyze(path: str | Path, names: tuple[str, ...], options: AnalyzeOptions) -> dict[str, list[dict]]:
    """Computes analyses of a run and draws each.

    Args:
      path: the run's folder.
      names: of `ANALYSES`; those that are recorded while training are drawn where they were.
      options: how much of it.

    Returns:
      The rows of each analysis, which are also in the run's `analysis/` folder.

    Raises:
      TostError: there is no such run, or what was asked for was not recorded.
    """
    run = load_run(path)
    results = {}
    for name in names:
        rows = results[name] = _rows(run, name, options)
        title = f"{ANALYSES[name].title}: {_label(run)}"
        ANALYSES[name].draw({_label(run): rows}, run.directory.analysis / f"{name}.png", title)
    return results


def compare(paths: tuple[str, ...], names: tuple[str, ...], options: AnalyzeOptions, out: Path) -> None:
    """Computes analyses of several runs, all with the same options, and draws them into one figure each.

    Args:
      paths: the runs' folders.
      names, options: as for `analyze`.
      out: the folder of the figures; with "mask", of two masks' overlap too (`overlap.json`, `.csv`, `.png`).

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
    """How alike the masks of the first two runs are, where both have one of the same network."""
    first, second = runs[:2]
    shapes = [{path: mask.shape for path, mask in (run.masks or {}).items()} for run in (first, second)]
    if shapes[0] and shapes[0] == shapes[1]:
        rows = mask_overlap(first.masks, second.masks)
        write_rows(out, "overlap", rows)
        analysis_figures.draw_overlap(rows, out / "overlap.png", f"masks of {labels[0]} and {labels[1]}")


def recorded(path: str | Path, name: str) -> bool:
    """Whether the run has the rows of an analysis that is recorded while training."""
    return bool(read_rows(Path(path) / "analysis", name))


def _rows(run: LoadedRun, name: str, options: AnalyzeOptions) -> list[dict]:
    analysis = ANALYSES[name]
    if analysis.compute is not None:
        rows = analysis.compute(run, options)
        write_rows(run.directory.analysis, name, rows)
        return rows
    rows = read_rows(run.directory.analysis, name)
    if not rows:
        raise TostError(f"{name} was not recorded in {str(run.directory.path)!r}: train with {analysis.option}")
    return rows


def _label(run: LoadedRun) -> str:
    return f"{run.config.recipe_label}, epoch {run.epoch}"


def _test(run: LoadedRun, options: AnalyzeOptions) -> tuple[np.ndarray, np.ndarray]:
    return first_examples(run.data, run.data.test, options.examples)


def _train(run: LoadedRun, options: AnalyzeOptions) -> tuple[np.ndarray, np.ndarray]:
    return first_examples(run.data, run.data.train, options.examples)


def _activations(run: LoadedRun, options: AnalyzeOptions) -> list[dict]:
    images, _ = first_examples(run.data, run.data.test, len(run.data.test))
    return activation_sparsity(run.model.view, images, options.epsilon)


def _hessian(run: LoadedRun, options: AnalyzeOptions) -> list[dict]:
    rows, _ = top_eigenvalues(MaskedHessian(run.model, *_train(run, options)), EIGENVALUES, options.iterations)
    return rows


def _eigenvector(run: LoadedRun, options: AnalyzeOptions) -> list[dict]:
    _, direction = top_eigenvalues(MaskedHessian(run.model, *_train(run, options)), 1, options.iterations)
    distances = np.linspace(-options.reach, options.reach, 2 * (options.points // 2) + 1)
    return loss_along_direction(run.model, direction, distances, *_test(run, options))


def _weights(run: LoadedRun, options: AnalyzeOptions) -> list[dict]:
    return weight_landscape(run.model, *_test(run, options), options.points, options.reach, options.seed)


def _inputs(run: LoadedRun, options: AnalyzeOptions) -> list[dict]:
    return input_landscape(run.model, *_test(run, options), options.points, options.reach, options.seed)


def _mask(run: LoadedRun, options: AnalyzeOptions) -> list[dict]:
    return mask_spectrum(strip(run.model.plain), run.masks or {})


ANALYSES = {
    "activations": Analysis(_activations, analysis_figures.draw_activations, "activations that are zero"),
    "hessian": Analysis(_hessian, analysis_figures.draw_hessian, "largest eigenvalues of the Hessian"),
    "eigenvector": Analysis(_eigenvector, analysis_figures.draw_eigenvector, "loss along the top eigenvector"),
    "weights": Analysis(_weights, analysis_figures.draw_weight_landscape, "loss around the weights"),
    "inputs": Analysis(_inputs, analysis_figures.draw_input_landscape, "loss around test images"),
    "mask": Analysis(_mask, analysis_figures.draw_mask, "what the mask leaves"),
    "trajectory": Analysis(
        None, analysis_figures.draw_trajectory, "largest eigenvalue along training", "--hessian_every=1"
    ),
    "gradient_flow": Analysis(
        None, analysis_figures.draw_gradient_flow, "average gradient flow", "--gradient_flow_every=10"
    ),
}
