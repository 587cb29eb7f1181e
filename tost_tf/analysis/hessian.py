"""The largest eigenvalues of the Hessian of the loss, for kept weights only (ToST, Figures 2 and 9a)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tost_tf.analysis.analysis import Analysis, Results, Subject
from tost_tf.analysis.kept_weights import KeptWeights, labels_for
from tost_tf.analysis.options import AnalysisOptions
from tost_tf.compat import keras, tf
from tost_tf.drawing import COLOURS, save, titled_axes
from tost_tf.graph.batches import joined
from tost_tf.graph.second_derivatives import twice_differentiable
from tost_tf.graph.summed_loss import summed_loss
from tost_tf.progress import progress
from tost_tf.ranges import require_number

MICRO_BATCH = 128
EIGENVALUES = 5


class MaskedHessian:
    """Products of vectors with the Hessian of the mean loss, without rows and columns of pruned weights.

    BatchNormalization is in inference mode. A product is computed by forward-over-reverse differentiation, at about
    the cost of two gradients and with the memory of one micro-batch.

    Args:
      model: as for `KeptWeights`.
      images, labels: the examples: arrays, labels one-hot or integers; or data with both (a `tf.data.Dataset` of
        batches, a `keras.utils.Sequence`, a pair of arrays) as `images` alone.
      micro_batch: the number of examples processed at a time, at least 1.
      loss: any loss of Keras, of labels and outputs as they are; by default the cross-entropy of a classifier.

    Raises:
      TostError: a number is out of range, or there are not as many labels as examples.

    Examples:
      >>> hessian = tost.analysis.MaskedHessian(tost.sparsify(model, sparsity=0.9), images, labels)
      >>> rows, eigenvector = tost.analysis.top_eigenvalues(hessian, count=2, iterations=5)
      >>> eigenvector.shape == (hessian.weights.size,)
      True
    """

    def __init__(
        self,
        model: keras.Model,
        images: Any,
        labels: np.ndarray | None = None,
        micro_batch: int = MICRO_BATCH,
        loss: str | Callable | None = None,
    ):
        require_number("micro_batch", micro_batch, whole=True, minimum=1)
        self.weights = KeptWeights(model)
        self._loss = summed_loss(model, loss)
        images, labels = joined(images, labels)
        labels = labels_for(model, labels, loss)
        self._model, self._images, self._labels, self._micro_batch = model, images, labels, micro_batch
        self._of_batch = twice_differentiable(self._product_of_batch, model, self.weights.variables)

    def product(self, vector: np.ndarray) -> np.ndarray:
        """H·v; both vectors have `weights.size` entries in double precision. Pruned entries of v are taken as zero."""
        kept = zip(self.weights.parts(vector), self.weights.masks, self.weights.variables, strict=True)
        tangents = [tf.constant(part * mask, variable.dtype) for part, mask, variable in kept]
        total = np.zeros(self.weights.size)
        for start in range(0, len(self._images), self._micro_batch):
            part = slice(start, start + self._micro_batch)
            products = self._of_batch(tf.constant(self._images[part]), tf.constant(self._labels[part]), tangents)
            total += self.weights.flat([product.numpy() for product in products])
        return total / len(self._images)

    def _product_of_batch(self, images: tf.Tensor, labels: tf.Tensor, tangents: list[tf.Tensor]) -> list[tf.Tensor]:
        variables = self.weights.variables
        with tf.autodiff.ForwardAccumulator(variables, tangents) as forward:
            with tf.GradientTape() as tape:
                loss = self._loss(labels, self._model(images, training=False))
            gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        return [
            tf.zeros_like(gradient) if product is None else product
            for gradient in gradients
            for product in [forward.jvp(gradient)]
        ]


def top_eigenvalues(
    hessian: MaskedHessian, count: int = 5, iterations: int = 30, seed: int = 0
) -> tuple[list[dict], np.ndarray]:
    """The algebraically largest eigenvalues, by Lanczos iteration with full reorthogonalisation.

    Args:
      hessian: the Hessian.
      count: how many eigenvalues, at least 1; fewer are returned if fewer weights are kept.
      iterations: maximum number of products, at least 1; more give smaller residuals.
      seed: of the first vector.

    Returns:
      Rows of `index` (from 1), `eigenvalue` and `residual` (‖H·v - λ·v‖, from one more product each), and the unit
      eigenvector of the largest eigenvalue.

    Raises:
      TostError: a number is out of range.

    Examples:
      >>> hessian = tost.analysis.MaskedHessian(model, images, labels)
      >>> rows, _ = tost.analysis.top_eigenvalues(hessian, count=2, iterations=5)
      >>> [row["index"] for row in rows]
      [1, 2]
    """
    require_number("count", count, whole=True, minimum=1)
    require_number("iterations", iterations, whole=True, minimum=1)
    weights = hessian.weights
    kept = weights.flat([np.ones(mask.shape) for mask in weights.masks])
    vector = np.random.default_rng(seed).normal(size=weights.size) * kept
    basis, diagonal, off = [vector / np.linalg.norm(vector)], [], []
    for _ in progress(range(min(iterations, int(kept.sum()))), "Hessian"):
        product = hessian.product(basis[-1])
        diagonal.append(float(product @ basis[-1]))
        for _ in range(2):  # once is not enough in finite precision
            product -= np.stack(basis).T @ (np.stack(basis) @ product)
        length = float(np.linalg.norm(product))
        off.append(length)
        if length < 1e-6 * max(1e-12, np.abs(diagonal).max()):
            break
        basis.append(product / length)
    size = len(diagonal)
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off[: size - 1], 1) + np.diag(off[: size - 1], -1))
    order = np.argsort(values)[::-1][:count]
    eigenvectors = np.stack(basis[:size]).T @ vectors[:, order]
    rows = [
        {"index": place, "eigenvalue": float(value), "residual": _residual(hessian, float(value), eigenvector)}
        for place, (value, eigenvector) in enumerate(zip(values[order], eigenvectors.T, strict=True), 1)
    ]
    return rows, eigenvectors[:, 0]


def _residual(hessian: MaskedHessian, eigenvalue: float, eigenvector: np.ndarray) -> float:
    """‖H·v - λ·v‖. The estimate of the iteration itself does not include rounding errors of the products."""
    return float(np.linalg.norm(hessian.product(eigenvector) - eigenvalue * eigenvector))


def draw_hessian(results: Results, path: Path, title: str) -> None:
    """Points: the largest eigenvalues."""
    figure, axes = titled_axes(title)
    for number, (label, rows) in enumerate(results.items()):
        values = [row["eigenvalue"] for row in rows]
        axes.plot([row["index"] for row in rows], values, "os^v"[number % 4], color=COLOURS[number % 4], label=label)
    axes.set_xlabel("rank of the eigenvalue")
    axes.set_xticks(sorted({row["index"] for rows in results.values() for row in rows}))
    axes.set_ylabel("eigenvalue of the Hessian, kept weights")
    axes.legend()
    save(figure, path)


def of_training_images(subject: Subject, options: AnalysisOptions) -> MaskedHessian:
    """The Hessian of the loss of the first training images."""
    return MaskedHessian(subject.model, *subject.examples(subject.data.train, options.examples))


def _compute(subject: Subject, options: AnalysisOptions) -> list[dict]:
    rows, _ = top_eigenvalues(of_training_images(subject, options), EIGENVALUES, options.iterations)
    return rows


ANALYSIS = Analysis(draw_hessian, "largest eigenvalues of the Hessian", _compute)
