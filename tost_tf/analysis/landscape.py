"""The loss around trained weights and around test images (ToST, Figures 8 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tost_tf.analysis.analysis import Analysis, Results, Subject
from tost_tf.analysis.kept_weights import KeptWeights, loss_and_accuracy
from tost_tf.analysis.options import AnalysisOptions
from tost_tf.compat import keras
from tost_tf.drawing import save
from tost_tf.errors import TostError
from tost_tf.ghost.branches import filter_norms
from tost_tf.graph.batches import joined
from tost_tf.progress import progress
from tost_tf.ranges import require_number


def loss_along_direction(
    model: keras.Model,
    direction: np.ndarray,
    distances: np.ndarray,
    images: Any,
    labels: np.ndarray | None = None,
    loss: str | Callable | None = None,
) -> list[dict]:
    """Loss and accuracy at the weights plus each distance times a unit vector (Figure 8 of the paper).

    Args:
      model: as for `KeptWeights`.
      direction: [weights], as `KeptWeights.flat` gives it, such as the top eigenvector of the Hessian; entries of
        pruned weights are set to zero, and it is scaled to a unit vector.
      distances: the distances from the trained weights.
      images, labels: the examples: arrays, labels one-hot or integers; or data with both (a `tf.data.Dataset` of
        batches, a `keras.utils.Sequence`, a pair of arrays) as `images` alone.
      loss: any loss of Keras, of labels and outputs as they are; by default the cross-entropy of a classifier.

    Returns:
      Rows of `distance`, `loss`, `accuracy` (NaN with a `loss`).

    Raises:
      TostError: the direction has another length, or is zero for all kept weights.

    Examples:
      >>> hessian = tost.analysis.MaskedHessian(model, images, labels)
      >>> _, eigenvector = tost.analysis.top_eigenvalues(hessian, count=1, iterations=3)
      >>> rows = tost.analysis.loss_along_direction(model, eigenvector, np.linspace(-1, 1, 3), images, labels)
      >>> [row["distance"] for row in rows]
      [-1.0, 0.0, 1.0]
    """
    weights = KeptWeights(model)
    direction = np.asarray(direction, np.float64)
    if direction.shape != (weights.size,):
        raise TostError(f"direction has shape {direction.shape}, it must be a vector of {weights.size} numbers")
    kept = direction * np.concatenate([mask.ravel() for mask in weights.masks])
    length = np.linalg.norm(kept)
    if not 0 < length < np.inf:
        raise TostError(f"direction has length {length:g} along the kept weights, it must be finite and above 0")
    unit = kept / length
    results = weights.losses_along([unit], np.asarray(distances)[:, None], *joined(images, labels), loss)
    return [
        {"distance": float(distance), "loss": value, "accuracy": accuracy}
        for distance, (value, accuracy) in zip(distances, results, strict=True)
    ]


def filter_normalised_direction(weights: KeptWeights, seed: int) -> np.ndarray:
    """A random direction whose filters have the norms of the model's filters (Li et al. 2018, Section 4).

    A filter computes one output: a channel, or one number of a head of attention. The direction is zero for pruned
    weights, and as in that paper for biases and BatchNormalization.
    """
    generator = np.random.default_rng(seed)
    parts = []
    for variable, mask, outputs in zip(weights.variables, weights.masks, weights.output_axes, strict=True):
        value = variable.numpy().astype(np.float64)
        drawn = generator.normal(size=value.shape) * mask
        if outputs is None:
            parts.append(np.zeros(value.shape))
        else:
            norms = filter_norms(drawn, outputs)
            parts.append(drawn * filter_norms(value, outputs) / np.maximum(norms, 1e-12))
    return weights.flat(parts)


def weight_landscape(
    model: keras.Model,
    images: Any,
    labels: np.ndarray | None = None,
    points: int = 15,
    reach: float = 1.0,
    seed: int = 0,
    loss: str | Callable | None = None,
) -> list[dict]:
    """The loss on a plane through the weights, along two filter-normalised random directions.

    Args:
      model: as for `KeptWeights`.
      images, labels: the examples: arrays, labels one-hot or integers; or data with both (a `tf.data.Dataset` of
        batches, a `keras.utils.Sequence`, a pair of arrays) as `images` alone.
      points: on each side of the grid, at least 2.
      reach: the grid goes from -reach to reach in both directions, above 0.
      seed: of the directions.
      loss: any loss of Keras, of labels and outputs as they are; by default the cross-entropy of a classifier.

    Returns:
      Rows of `x`, `y`, `loss`.

    Raises:
      TostError: a number is out of range.

    Examples:
      >>> rows = tost.analysis.weight_landscape(model, images, labels, points=3)
      >>> len(rows), sorted(rows[0])
      (9, ['loss', 'x', 'y'])
    """
    weights = KeptWeights(model)
    directions = [filter_normalised_direction(weights, 2 * seed + number) for number in (0, 1)]
    places = _grid(points, reach)
    results = weights.losses_along(directions, places, *joined(images, labels), loss)
    return [{"x": x, "y": y, "loss": value} for (x, y), (value, _) in zip(places.tolist(), results, strict=True)]


def input_landscape(
    model: keras.Model,
    images: Any,
    labels: np.ndarray | None = None,
    points: int = 15,
    reach: float = 1.0,
    seed: int = 0,
    loss: str | Callable | None = None,
) -> list[dict]:
    """The mean loss of images moved along two random orthogonal directions, the same for all images.

    A direction has root mean square 1 over pixels and channels, so `reach` is in units of normalised pixels.

    Arguments and result are as for `weight_landscape`.

    Examples:
      >>> rows = tost.analysis.input_landscape(model, images, labels, points=3, reach=0.5)
      >>> rows[0]["x"], rows[-1]["x"]
      (-0.5, 0.5)
    """
    images, labels = joined(images, labels)
    generator = np.random.default_rng(seed)
    drawn, _ = np.linalg.qr(generator.normal(size=(images[0].size, 2)))
    one, two = (drawn * np.sqrt(images[0].size)).T.reshape(2, *images[0].shape).astype(np.float32)
    rows = []
    for x, y in progress(_grid(points, reach).tolist(), "inputs"):
        value, _ = loss_and_accuracy(model, images + np.float32(x) * one + np.float32(y) * two, labels, loss)
        rows.append({"x": x, "y": y, "loss": value})
    return rows


def _grid(points: int, reach: float) -> np.ndarray:
    require_number("points", points, whole=True, minimum=2)
    require_number("reach", reach, above=0)
    line = np.linspace(-reach, reach, points)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def draw_weight_landscape(results: Results, path: Path, title: str) -> None:
    """Contours side by side, with one scale: the loss around the weights (Figure 10 of the paper)."""
    _contours(results, path, title, "filter-normalised direction")


def draw_input_landscape(results: Results, path: Path, title: str) -> None:
    """Contours side by side, with one scale: the loss around test images (Figure 10 of the paper)."""
    _contours(results, path, title, "normalised pixels along direction")


def _contours(results: Results, path: Path, title: str, axis: str) -> None:
    figure = Figure(figsize=(5.2 * len(results) + 0.8, 4.8), layout="constrained")
    figure.suptitle(title, parse_math=False)
    logs = [np.log10(max(row["loss"], 1e-8)) for rows in results.values() for row in rows if np.isfinite(row["loss"])]
    logs = logs or [0.0]  # of a network that has diverged no loss is finite
    levels = np.linspace(min(logs), max(max(logs), min(logs) + 1e-6), 21)
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (label, rows) in zip(panels, results.items(), strict=True):
        x, y = (sorted({row[key] for row in rows}) for key in ("x", "y"))
        by_place = {(row["x"], row["y"]): np.log10(max(row["loss"], 1e-8)) for row in rows}
        grid = np.ma.masked_invalid([[by_place[a, b] for a in x] for b in y])
        drawn = axes.contourf(x, y, grid, levels, cmap="cividis")
        axes.plot(0, 0, "w+", ms=10)
        axes.set_xlabel(f"{axis} 1")
        axes.set_ylabel(f"{axis} 2")
        axes.set_title(label, fontsize=10, parse_math=False)
    figure.colorbar(drawn, ax=list(panels), label="log₁₀ of the test loss (+: the trained network)", format="%.2f")
    save(figure, path)


def _of_weights(subject: Subject, options: AnalysisOptions) -> list[dict]:
    images, labels = subject.examples(subject.data.test, options.examples)
    return weight_landscape(subject.model, images, labels, options.points, options.reach, options.seed)


def _of_inputs(subject: Subject, options: AnalysisOptions) -> list[dict]:
    images, labels = subject.examples(subject.data.test, options.examples)
    return input_landscape(subject.model, images, labels, options.points, options.reach, options.seed)


WEIGHTS = Analysis(draw_weight_landscape, "loss around the weights", _of_weights)
INPUTS = Analysis(draw_input_landscape, "loss around test images", _of_inputs)
