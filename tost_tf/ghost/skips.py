"""The kinds of ghost skip: the layers applied to the input of a convolution before it is added to the output.

A kind is a function `(channels, strides, kernel_initializer)` that returns the Keras layers to apply in order.
`channels` is the number of output channels of the block, `strides` has one number for each dimension of the image (1, 2
or 3), whose channels come last. The input of the layers starts at the first pixel to read: a convolution of size 1 with
the block's strides reads the centres of the block's kernel, and pooling windows as wide as the strides contain them.
If the layers return another number of channels, `GhostSkip` adds zero channels or leaves out the last ones.
"""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.errors import unknown_name
from tost_tf.ghost import dirac  # noqa: F401, registers the initializer
from tost_tf.models.layers import BATCH_NORMALIZATION

INITIALIZERS = {
    # From the authors' released code. BatchNormalization does not fully undo the small scale: in narrow networks the
    # variance is below its ε of 1e-5, so such a skip starts small and grows because of its large gradient.
    "constant": {"class_name": "Constant", "config": {"value": 1e-4}},
    "he_normal": {"class_name": "HeNormal", "config": {}},
    # The input itself, as an identity skip has it; unlike the constant, of full rank (as in DiracNets, Zagoruyko and
    # Komodakis 2017).
    "dirac": {"class_name": "tost_tf>Dirac", "config": {}},
}


CONVOLUTIONS = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}
POOLINGS = {1: keras.layers.AveragePooling1D, 2: keras.layers.AveragePooling2D, 3: keras.layers.AveragePooling3D}


def projection(channels: int, strides: tuple[int, ...], kernel_initializer: str) -> list[keras.layers.Layer]:
    """A 1x1 convolution with the block's stride, then BatchNormalization, as in the authors' released code."""
    if kernel_initializer not in INITIALIZERS:
        raise unknown_name("skip initializer", kernel_initializer, INITIALIZERS)
    initializer = keras.initializers.get(INITIALIZERS[kernel_initializer])
    convolution = CONVOLUTIONS[len(strides)]
    return [
        convolution(channels, 1, strides=strides, use_bias=False, kernel_initializer=initializer),
        keras.layers.BatchNormalization(**BATCH_NORMALIZATION),
    ]


def identity(channels: int, strides: tuple[int, ...], kernel_initializer: str) -> list[keras.layers.Layer]:
    """No learned projection: average pooling as wide as the strides (if above 1), then normalisation by channel.

    Without the normalisation the residual stream would double at every convolution, and training would diverge.
    """
    del channels, kernel_initializer
    pooling = [POOLINGS[len(strides)](strides, strides, padding="same")] if max(strides) > 1 else []
    return [*pooling, keras.layers.BatchNormalization(**BATCH_NORMALIZATION, center=False, scale=False)]
