"""Average gradient flow (Tessera et al. 2021; ToST, Figure 9b)."""

from __future__ import annotations

import numpy as np

from tost_tf.analysis.kept_weights import KeptWeights
from tost_tf.compat import keras, tf
from tost_tf.graph.batch_norm import statistics_kept


def gradient_flow(model: keras.Model, images: np.ndarray, labels: np.ndarray, loss: keras.losses.Loss) -> float:
    """The mean over prunable kernels of the norm of the gradient of their kept weights.

    BatchNormalization uses the batch's statistics, as in training; its running ones are put back.

    Args:
      model: as for `KeptWeights`.
      images, labels: one batch, labels one-hot.
      loss: of labels and logits.
    """
    weights = KeptWeights(model)
    chosen = [
        (v, m) for v, m, is_kernel in zip(weights.variables, weights.masks, weights.kernels, strict=True) if is_kernel
    ]
    with statistics_kept(model):
        gradients = _gradients(model, loss, [variable for variable, _ in chosen], images, labels)
    norms = [np.linalg.norm(g.numpy() * mask) for g, (_, mask) in zip(gradients, chosen, strict=True)]
    return float(np.mean(norms))


def _gradients(model, loss, variables, images, labels) -> list[tf.Tensor]:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        # Not called: under a distribution strategy a loss refuses to take the mean itself.
        value = tf.reduce_mean(loss.call(tf.constant(labels), model(tf.constant(images), training=True)))
    return tape.gradient(value, variables, unconnected_gradients="zero")
