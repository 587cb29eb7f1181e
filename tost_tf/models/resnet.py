"""ResNet-18 to ResNet-152 (He et al. 2016, Section 4.1) for small and for large images.

The stem depends on the images: below 128 pixels a 3x3 convolution without pooling, from 128 on the 7x7 convolution and
pooling for ImageNet. If a block changes the shape, its shortcut is a 1x1 convolution (option B). In a bottleneck the
3x3 convolution has the stride, as in torchvision.
"""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.models.layers import (
    LARGE_IMAGE,
    basic_block,
    channels,
    classifier,
    convolution,
    normalization,
    projection_shortcut,
    relu,
    zero_padding,
)

STAGE_CHANNELS = (64, 128, 256, 512)
EXPANSION = 4  # of a bottleneck's last convolution
Size = tuple[int, int, int]


def resnet18(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-18: 11.17 M parameters for CIFAR-10, 11.69 M for ImageNet."""
    return _resnet("resnet18", (2, 2, 2, 2), False, input_shape, num_classes, width_multiplier)


def resnet34(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-34: 21.28 M parameters for CIFAR-10, 21.80 M for ImageNet."""
    return _resnet("resnet34", (3, 4, 6, 3), False, input_shape, num_classes, width_multiplier)


def resnet50(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-50: 23.52 M parameters for CIFAR-10, 25.56 M for ImageNet."""
    return _resnet("resnet50", (3, 4, 6, 3), True, input_shape, num_classes, width_multiplier)


def resnet101(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-101: 42.51 M parameters for CIFAR-10, 44.55 M for ImageNet."""
    return _resnet("resnet101", (3, 4, 23, 3), True, input_shape, num_classes, width_multiplier)


def resnet152(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """ResNet-152: 58.16 M parameters for CIFAR-10, 60.19 M for ImageNet."""
    return _resnet("resnet152", (3, 8, 36, 3), True, input_shape, num_classes, width_multiplier)


def _resnet(
    name: str,
    blocks: tuple[int, int, int, int],
    bottleneck: bool,
    input_shape: Size,
    num_classes: int,
    width_multiplier: float,
) -> keras.Model:
    """Images [batch, *input_shape] to logits [batch, num_classes]."""
    inputs = keras.Input(input_shape, name="image")
    x = _stem(inputs, channels(STAGE_CHANNELS[0], width_multiplier), min(input_shape[:2]) >= LARGE_IMAGE)
    block = _bottleneck_block if bottleneck else _basic_block
    for stage, (base, count) in enumerate(zip(STAGE_CHANNELS, blocks, strict=True), 1):
        for number in range(1, count + 1):
            strides = 2 if stage > 1 and number == 1 else 1
            x = block(x, channels(base, width_multiplier), strides, f"stage{stage}_block{number}")
    return keras.Model(inputs, classifier(x, num_classes), name=name)


def _stem(x: tf.Tensor, width: int, large: bool) -> tf.Tensor:
    if not large:
        return relu(normalization(convolution(x, width, 3, 1, "stem_conv"), "stem_bn"), "stem_relu")
    x = relu(normalization(convolution(x, width, 7, 2, "stem_conv"), "stem_bn"), "stem_relu")
    return keras.layers.MaxPooling2D(3, 2, name="stem_pool")(zero_padding(x, 1, "stem_pool_pad"))


def _basic_block(x: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    return basic_block(x, projection_shortcut(x, width, strides, name), width, strides, name)


def _bottleneck_block(x: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    shortcut = projection_shortcut(x, EXPANSION * width, strides, name)
    x = relu(normalization(convolution(x, width, 1, 1, f"{name}_conv1"), f"{name}_bn1"), f"{name}_relu1")
    x = relu(normalization(convolution(x, width, 3, strides, f"{name}_conv2"), f"{name}_bn2"), f"{name}_relu2")
    x = normalization(convolution(x, EXPANSION * width, 1, 1, f"{name}_conv3"), f"{name}_bn3")
    return relu(keras.layers.Add(name=f"{name}_add")([x, shortcut]), f"{name}_relu3")
