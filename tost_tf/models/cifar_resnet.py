"""The ResNets for small images of He et al. 2016 (Section 4.2): 6n+2 layers in three stages of 16, 32, 64 channels.

If a block halves the image and doubles the channels, its shortcut takes every other pixel and fills the new channels
with zeros (option A of that paper), so it has no parameters. `resnet32x2` is the wider network that papers on pruning
call ResNet-32.
"""

from __future__ import annotations

from collections.abc import Callable

from tost_tf.compat import keras, tf
from tost_tf.models.layers import (
    basic_block,
    channels,
    classifier,
    convolution,
    normalization,
    projection_shortcut,
    relu,
)

STAGE_CHANNELS = (16, 32, 64)
GRASP_STAGE_CHANNELS = (32, 64, 128)
GRASP_DEVIATION = 0.01  # of the classifier's initial weights
Size = tuple[int, int, int]
# A function of a block's input, output channels, stride and name; returns what is added at the end of the block.
Shortcut = Callable[[tf.Tensor, int, int, str], tf.Tensor]


def resnet8(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-8 (1 block a stage, 0.08 M parameters for CIFAR-10): small enough for trials on a CPU."""
    return cifar_resnet(8, input_shape, num_classes, width_multiplier)


def resnet20(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-20 (3 blocks a stage, 0.27 M parameters for CIFAR-10)."""
    return cifar_resnet(20, input_shape, num_classes, width_multiplier)


def resnet32(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-32 (5 blocks a stage, 0.46 M parameters for CIFAR-10). The ToST paper uses `resnet32x2`."""
    return cifar_resnet(32, input_shape, num_classes, width_multiplier)


def resnet32x2(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """The ResNet-32 of GraSP (Wang et al. 2020) and of the ToST paper: 32, 64, 128 channels, 1.86 M parameters.

    GraSP reports for this network the dense accuracies of the paper's Table 2 (94.80 and 74.64%). As in GraSP's
    released code (github.com/alecwangcq/GraSP, `models/base`), the shortcut is a 1x1 convolution with
    BatchNormalization if the shape changes (option B). The classifier's initial weights are normal with standard
    deviation 0.01, its biases zero.
    """
    inputs = keras.Input(input_shape, name="image")
    widths = [channels(base, width_multiplier) for base in GRASP_STAGE_CHANNELS]
    x = _features(inputs, widths, 5, projection_shortcut)
    return keras.Model(inputs, classifier(x, num_classes, GRASP_DEVIATION), name="resnet32x2")


def resnet44(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-44 (7 blocks a stage, 0.66 M parameters for CIFAR-10)."""
    return cifar_resnet(44, input_shape, num_classes, width_multiplier)


def resnet56(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-56 (9 blocks a stage, 0.85 M parameters for CIFAR-10)."""
    return cifar_resnet(56, input_shape, num_classes, width_multiplier)


def resnet104(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-104 (17 blocks a stage, 1.63 M parameters for CIFAR-10).

    It has basic blocks, as all networks here: 6·17+2 layers. The ToST paper names a ResNet-104; its released code
    (ResNetOld in `oresnet.py`) would build one with 17 bottlenecks a stage, which has 155 layers.
    """
    return cifar_resnet(104, input_shape, num_classes, width_multiplier)


def resnet110(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-110 (18 blocks a stage, 1.7 M parameters for CIFAR-10)."""
    return cifar_resnet(110, input_shape, num_classes, width_multiplier)


def cifar_resnet(depth: int, input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """The ResNet with `depth` = 6n+2 layers: images [batch, *input_shape] to logits [batch, num_classes]."""
    inputs = keras.Input(input_shape, name="image")
    widths = [channels(base, width_multiplier) for base in STAGE_CHANNELS]
    x = _features(inputs, widths, (depth - 2) // 6, _shortcut_without_parameters)
    return keras.Model(inputs, classifier(x, num_classes), name=f"resnet{depth}")


def _features(x: tf.Tensor, widths: list[int], blocks: int, shortcut: Shortcut) -> tf.Tensor:
    """The stem and a stage of `blocks` blocks for each width; all stages except the first halve the image."""
    x = convolution(x, widths[0], 3, 1, "stem_conv")
    x = relu(normalization(x, "stem_bn"), "stem_relu")
    for stage, width in enumerate(widths, 1):
        for block in range(1, blocks + 1):
            strides, name = 2 if stage > 1 and block == 1 else 1, f"stage{stage}_block{block}"
            x = basic_block(x, shortcut(x, width, strides, name), width, strides, name)
    return x


def _shortcut_without_parameters(x: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    if strides > 1:
        x = keras.layers.AveragePooling2D(1, strides, padding="same", name=f"{name}_subsample")(x)
    new = width - x.shape[-1]
    if new:
        # Zero channels on both sides, by layers that every format knows: pad the last of three axes.
        height, columns, old = x.shape[1:]
        x = keras.layers.Reshape((height, columns, old, 1), name=f"{name}_expand")(x)
        x = keras.layers.ZeroPadding3D(((0, 0), (0, 0), (new // 2, new - new // 2)), name=f"{name}_pad")(x)
        x = keras.layers.Reshape((height, columns, width), name=f"{name}_squeeze")(x)
    return x
