"""MobileNet (Howard et al. 2017, Table 1): depthwise separable convolutions.

The stem halves images of 128 pixels or more; smaller images keep their size, as is usual for MobileNet on CIFAR.
"""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.models.layers import (
    LARGE_IMAGE,
    channels,
    classifier,
    convolution,
    depthwise_convolution,
    normalization,
    relu,
)

STEM_CHANNELS = 32
# Channels and stride of each block.
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def mobilenet(input_shape: tuple[int, int, int], num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """MobileNet: images [batch, *input_shape] to logits; 3.22 M parameters for CIFAR-10, 4.23 M for ImageNet."""
    inputs = keras.Input(input_shape, name="image")
    strides = 2 if min(input_shape[:2]) >= LARGE_IMAGE else 1
    x = convolution(inputs, channels(STEM_CHANNELS, width_multiplier), 3, strides, "stem_conv")
    x = relu(normalization(x, "stem_bn"), "stem_relu")
    for number, (base, strides) in enumerate(BLOCKS, 1):
        x = _block(x, channels(base, width_multiplier), strides, f"block{number}")
    return keras.Model(inputs, classifier(x, num_classes), name="mobilenet")


def _block(x: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    x = depthwise_convolution(x, 3, strides, f"{name}_depthwise")
    x = relu(normalization(x, f"{name}_depthwise_bn"), f"{name}_depthwise_relu")
    return relu(normalization(convolution(x, width, 1, 1, f"{name}_conv"), f"{name}_bn"), f"{name}_relu")
