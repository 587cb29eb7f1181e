"""Average gradient flow (Tessera et al. 2021; ToST, Figure 9b)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tost_tf.analysis.analysis import Analysis, Results
from tost_tf.analysis.kept_weights import KeptWeights, labels_for
from tost_tf.compat import keras, tf
from tost_tf.drawing import COLOURS, line_style, save, titled_axes
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.graph.batches import joined
from tost_tf.graph.summed_loss import SummedLoss, summed_loss


def gradient_flow(
    model: keras.Model, images: Any, labels: np.ndarray | None = None, loss: str | Callable | None = None
) -> float:
    """The gradient norm of the kept weights of a kernel, averaged over all prunable kernels.

    BatchNormalization uses the batch's statistics, as in training; its running statistics are restored afterwards.

    Args:
      model: as for `KeptWeights`.
      images, labels: one batch: arrays, labels one-hot or integers; or data of one batch (a `tf.data.Dataset` of
        batches, a `keras.utils.Sequence`, a pair of arrays) as `images` alone.
      loss: any loss of Keras, of labels and outputs as they are; by default the cross-entropy of a classifier.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.9)
      >>> tost.analysis.average_gradient_flow(sparse, images, labels) > 0
      True
    """
    weights = KeptWeights(model)
    chosen = [
        (v, m) for v, m, is_kernel in zip(weights.variables, weights.masks, weights.kernels, strict=True) if is_kernel
    ]
    images, labels = joined(images, labels)
    labels = labels_for(model, labels, loss)
    with statistics_kept(model):
        gradients = _gradients(model, summed_loss(model, loss), [variable for variable, _ in chosen], images, labels)
    norms = [np.linalg.norm(g.numpy() * mask) for g, (_, mask) in zip(gradients, chosen, strict=True)]
    return float(np.mean(norms))


def _gradients(
    model: keras.Model, of_batch: SummedLoss, variables: list[tf.Variable], images: np.ndarray, labels: np.ndarray
) -> list[tf.Tensor]:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        value = of_batch(tf.constant(labels), model(tf.constant(images), training=True)) / len(images)
    return tape.gradient(value, variables, unconnected_gradients="zero")


def draw_gradient_flow(results: Results, path: Path, title: str) -> None:
    """Lines: the average gradient flow over the steps (Figure 9b of the paper)."""
    figure, axes = titled_axes(title)
    for number, (label, rows) in enumerate(results.items()):
        steps, flows = ([row[key] for row in rows] for key in ("step", "flow"))
        axes.plot(steps, flows, line_style(number), color=COLOURS[number % 4], label=label, lw=1)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("mean over layers of ‖gradient of kept weights‖")
    axes.legend()
    save(figure, path)


ANALYSIS = Analysis(draw_gradient_flow, "average gradient flow", recorded_by="gradient_flow_every=10")
