"""The initializer that lets a convolution begin as the identity."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras, tf


@keras.utils.register_keras_serializable("tost_tf")
class Dirac(keras.initializers.Initializer):
    """A kernel [..., channels in, channels out] that gives its input, read under the kernel's middle.

    As `torch.nn.init.dirac_`, but that output channel j reads input channel j modulo their number: an output that reads
    nothing would be normalised with a variance of zero.
    """

    def __call__(self, shape, dtype=None, **kwargs):
        inputs, outputs = shape[-2:]
        kernel = np.zeros(shape, np.float32)
        middle = tuple((size - 1) // 2 for size in shape[:-2])
        channels = np.arange(outputs)
        kernel[(*middle, channels % inputs, channels)] = 1
        return tf.constant(kernel, dtype or tf.float32)
