"""The ResNets for small images of He et al. 2016 (Section 4.2): 6n+2 layers in three stages of 16, 32, 64 channels.

Where a block halves the image and doubles the channels, the shortcut takes every other pixel and fills the new
channels with zeros (option A of that paper), so that it has no parameters.
"""

from tost_tf.compat import keras, tf
from tost_tf.models.layers import basic_block, channels, classifier, convolution, normalization, relu

STAGE_CHANNELS = (16, 32, 64)
Size = tuple[int, int, int]


def resnet8(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-8 (1 block a stage, 0.08 M parameters for CIFAR-10): small enough to try things on a CPU."""
    return cifar_resnet(8, input_shape, num_classes, width_multiplier)


def resnet20(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-20 (3 blocks a stage, 0.27 M parameters for CIFAR-10)."""
    return cifar_resnet(20, input_shape, num_classes, width_multiplier)


def resnet32(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-32 (5 blocks a stage, 0.46 M parameters for CIFAR-10)."""
    return cifar_resnet(32, input_shape, num_classes, width_multiplier)


def resnet44(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-44 (7 blocks a stage, 0.66 M parameters for CIFAR-10)."""
    return cifar_resnet(44, input_shape, num_classes, width_multiplier)


def resnet56(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-56 (9 blocks a stage, 0.85 M parameters for CIFAR-10)."""
    return cifar_resnet(56, input_shape, num_classes, width_multiplier)


def resnet104(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-104 (17 blocks a stage)."""
    return cifar_resnet(104, input_shape, num_classes, width_multiplier)


def resnet110(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-110 (18 blocks a stage, 1.7 M parameters for CIFAR-10)."""
    return cifar_resnet(110, input_shape, num_classes, width_multiplier)


def cifar_resnet(depth: int, input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """The ResNet of `depth` = 6n+2 layers: images [batch, *input_shape] to logits [batch, num_classes]."""
    blocks = (depth - 2) // 6
    inputs = keras.Input(input_shape, name="image")
    width = channels(STAGE_CHANNELS[0], width_multiplier)
    x = convolution(inputs, width, 3, 1, "stem_conv")
    x = relu(normalization(x, "stem_bn"), "stem_relu")
    for stage, base in enumerate(STAGE_CHANNELS, 1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _block(x, channels(base, width_multiplier), strides, f"stage{stage}_block{block}")
    return keras.Model(inputs, classifier(x, num_classes), name=f"resnet{depth}")


def _block(x: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    return basic_block(x, _shortcut(x, width, strides, name), width, strides, name)


def _shortcut(x: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    if strides > 1:
        x = keras.layers.AveragePooling2D(1, strides, padding="same", name=f"{name}_subsample")(x)
    new = width - x.shape[-1]
    if new:
        # Zero channels on both sides, by layers every format knows: pad the last of three axes.
        height, columns, old = x.shape[1:]
        x = keras.layers.Reshape((height, columns, old, 1), name=f"{name}_expand")(x)
        x = keras.layers.ZeroPadding3D(((0, 0), (0, 0), (new // 2, new - new // 2)), name=f"{name}_pad")(x)
        x = keras.layers.Reshape((height, columns, width), name=f"{name}_squeeze")(x)
    return x
