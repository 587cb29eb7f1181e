"""ResNet-18 (He et al. 2016, Section 4.1) with a stem for small images: a 3x3 convolution and no pooling.

Where a block changes the shape, the shortcut is a 1x1 convolution (option B), as in the paper's released code.
"""

from tost_tf.compat import keras, tf
from tost_tf.models.layers import basic_block, channels, classifier, convolution, normalization, relu

STAGE_CHANNELS = (64, 128, 256, 512)
BLOCKS_PER_STAGE = 2


def resnet18(input_shape: tuple[int, int, int], num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-18 (11.17 M parameters for CIFAR-10): images [batch, *input_shape] to logits [batch, num_classes]."""
    inputs = keras.Input(input_shape, name="image")
    x = convolution(inputs, channels(STAGE_CHANNELS[0], width_multiplier), 3, 1, "stem_conv")
    x = relu(normalization(x, "stem_bn"), "stem_relu")
    for stage, base in enumerate(STAGE_CHANNELS, 1):
        for block in range(1, BLOCKS_PER_STAGE + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _block(x, channels(base, width_multiplier), strides, f"stage{stage}_block{block}")
    return keras.Model(inputs, classifier(x, num_classes), name="resnet18")


def _block(x: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    shortcut = x
    if strides > 1 or x.shape[-1] != width:
        shortcut = convolution(x, width, 1, strides, f"{name}_shortcut_conv")
        shortcut = normalization(shortcut, f"{name}_shortcut_bn")
    return basic_block(x, shortcut, width, strides, name)
