"""VGG-16 and VGG-19 with BatchNormalization (Simonyan & Zisserman 2015, configurations D and E).

For images below 128 pixels the classifier is one linear layer after global average pooling, as is usual for VGG on
CIFAR; from 128 pixels on it has the original's three, with dropout. Linear layers have small normal initial weights, as
in the released code of ToST and in torchvision.
"""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.models.layers import LARGE_IMAGE, channels, classifier, convolution, linear, normalization, relu

STAGE_CHANNELS = (64, 128, 256, 512, 512)
HIDDEN = 4096
LINEAR_DEVIATION = 0.01
Size = tuple[int, int, int]


def vgg16(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """VGG-16: 14.73 M parameters for CIFAR-10, 138.37 M for ImageNet."""
    return _vgg("vgg16", (2, 2, 3, 3, 3), input_shape, num_classes, width_multiplier)


def vgg19(input_shape: Size, num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """VGG-19: 20.04 M parameters for CIFAR-10, 143.68 M for ImageNet."""
    return _vgg("vgg19", (2, 2, 4, 4, 4), input_shape, num_classes, width_multiplier)


def _vgg(
    name: str, convolutions: tuple[int, ...], input_shape: Size, num_classes: int, width_multiplier: float
) -> keras.Model:
    """Images [batch, *input_shape] to logits; five poolings, fewer if no pixel would be left."""
    inputs = x = keras.Input(input_shape, name="image")
    for stage, (base, count) in enumerate(zip(STAGE_CHANNELS, convolutions, strict=True), 1):
        for number in range(1, count + 1):
            part = f"stage{stage}_{{}}{number}".format
            x = convolution(x, channels(base, width_multiplier), 3, 1, part("conv"), use_bias=True)
            x = relu(normalization(x, part("bn")), part("relu"))
        if min(x.shape[1:3]) > 1:
            x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    if min(input_shape[:2]) < LARGE_IMAGE:
        return keras.Model(inputs, classifier(x, num_classes, LINEAR_DEVIATION), name=name)
    x = keras.layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = linear(x, channels(HIDDEN, width_multiplier), f"hidden{number}", LINEAR_DEVIATION)
        x = keras.layers.Dropout(0.5, name=f"dropout{number}")(relu(x, f"hidden{number}_relu"))
    return keras.Model(inputs, linear(x, num_classes, "logits", LINEAR_DEVIATION), name=name)
