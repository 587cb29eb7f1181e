"""The dense network a sparse one is compared with: the same architecture, weights without zeros."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.rebuild import rebuild


def without_zeros(model: keras.Model) -> keras.Model:
    """A copy of a network in which random numbers stand where kernels are zero.

    They are as large as the kernel's weights, zeros among them, so that the variance of what a layer gives is about
    twice as large at most, and nothing overflows or vanishes. What the copy computes means nothing: it is there to be
    measured.
    """
    dense, generator = rebuild(model, copy_layer), np.random.default_rng(0)
    for weight in prunable_weights(dense).values():
        kernel = weight.numpy()
        inputs = max(1, kernel.size // kernel.shape[-1])
        size = np.sqrt(np.mean(np.square(kernel))) or inputs**-0.5
        # Away from zero itself, which a normal distribution would be close to now and then.
        values = size * generator.uniform(0.5, 1.5, kernel.shape) * generator.choice((-1, 1), kernel.shape)
        weight.assign(np.where(kernel == 0, values, kernel).astype(kernel.dtype))
    return dense
