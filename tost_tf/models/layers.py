"""The layers of all networks here, with PyTorch's settings, which the paper used.

Initial weights are as in the released code of ToST (`pruning_techniques/models`, ResNet.py and VGG.py). Kernels of
convolutions are as in He et al. 2015: normal with variance 2 / (height · width · output channels), not truncated. A
linear layer is initialised as in PyTorch, or in VGG with small normal weights. (Another file there, ResNets.py, counts
input channels, and does the same for the linear layer; no network here does.) BatchNormalization has scale 1, shift 0.

Padding is PyTorch's: half the kernel on every side.
"""

from __future__ import annotations

from tost_tf.compat import keras, tf

# PyTorch's momentum 0.1 is Keras's 0.9.
BATCH_NORMALIZATION = {"momentum": 0.9, "epsilon": 1e-5}


# For images with at least this height and width, networks have the form for ImageNet.
LARGE_IMAGE = 128


def channels(base: int, width_multiplier: float) -> int:
    """The number of channels after scaling, at least 1."""
    return max(1, round(base * width_multiplier))


def convolution(
    x: tf.Tensor, filters: int, kernel_size: int, strides: int, name: str, use_bias: bool = False
) -> tf.Tensor:
    """A convolution padded as in PyTorch, by default without bias, since BatchNormalization has one.

    Args:
      x: [batch, height, width, channels].
      filters: output channels.
      kernel_size: odd, for both dimensions.
      strides: for both dimensions.
      name: of the layer; a separate padding layer is called `name`_pad.
      use_bias: whether there are biases; they start at zero.
    """
    x, padding = _padded(x, kernel_size, strides, name)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer=_he_normal("fan_out"),
        name=name,
    )(x)


def depthwise_convolution(x: tf.Tensor, kernel_size: int, strides: int, name: str) -> tf.Tensor:
    """A depthwise convolution without bias, padded as in PyTorch.

    The released code has none. It is initialised by that code's rule for convolutions, as in torchvision's MobileNets:
    variance 2 / (height · width · channels), since PyTorch counts all channels in the fan-out of a grouped kernel.
    """
    x, padding = _padded(x, kernel_size, strides, name)
    return keras.layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding,
        use_bias=False,
        # Keras keeps the kernel as [height, width, channels, 1] and counts the channels in its fan-in.
        depthwise_initializer=_he_normal("fan_in"),
        name=name,
    )(x)


def _he_normal(mode: str) -> keras.initializers.Initializer:
    """A new initialiser: if several layers shared one, they would all get the same numbers."""
    return keras.initializers.VarianceScaling(2.0, mode, "untruncated_normal")


def _padded(x: tf.Tensor, kernel_size: int, strides: int, name: str) -> tuple[tf.Tensor, str]:
    """The input of a convolution with an odd kernel, and its `padding`: half the kernel is padded on every side.

    Keras's "same" does that only without strides; with strides it pads an even image only at the bottom and right.
    """
    if strides == 1 or kernel_size == 1:
        return x, "same"
    return zero_padding(x, kernel_size // 2, f"{name}_pad"), "valid"


def zero_padding(x: tf.Tensor, pixels: int, name: str) -> tf.Tensor:
    """The same padding on all sides, as PyTorch pads."""
    return keras.layers.ZeroPadding2D(pixels, name=name)(x)


def normalization(x: tf.Tensor, name: str) -> tf.Tensor:
    return keras.layers.BatchNormalization(**BATCH_NORMALIZATION, name=name)(x)


def relu(x: tf.Tensor, name: str) -> tf.Tensor:
    return keras.layers.ReLU(name=name)(x)


def basic_block(x: tf.Tensor, shortcut: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    """The two 3x3 convolutions of He et al. 2016 and the shortcut added to them."""
    x = convolution(x, width, 3, strides, f"{name}_conv1")
    x = relu(normalization(x, f"{name}_bn1"), f"{name}_relu1")
    x = convolution(x, width, 3, 1, f"{name}_conv2")
    x = normalization(x, f"{name}_bn2")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return relu(x, f"{name}_relu2")


def projection_shortcut(x: tf.Tensor, width: int, strides: int, name: str) -> tf.Tensor:
    """The shortcut of a block: a 1x1 convolution with BatchNormalization if the shape changes, else `x` itself."""
    if strides == 1 and x.shape[-1] == width:
        return x
    return normalization(convolution(x, width, 1, strides, f"{name}_shortcut_conv"), f"{name}_shortcut_bn")


def linear(x: tf.Tensor, units: int, name: str, deviation: float | None = None) -> tf.Tensor:
    """A linear layer.

    Args:
      x: [batch, inputs].
      units: the number of outputs.
      name: of the layer.
      deviation: standard deviation of the initial weights; then biases are zero. `None` for PyTorch's default: weights
        and biases uniform in ±1/sqrt(inputs).
    """
    bound = x.shape[-1] ** -0.5
    if deviation is None:
        start, bias_start = (keras.initializers.RandomUniform(-bound, bound) for _ in range(2))
    else:
        start, bias_start = keras.initializers.RandomNormal(stddev=deviation), "zeros"
    return keras.layers.Dense(units, kernel_initializer=start, bias_initializer=bias_start, name=name)(x)


def classifier(x: tf.Tensor, num_classes: int, deviation: float | None = None) -> tf.Tensor:
    """Global average pooling and a linear layer, initialised as in `linear`."""
    return linear(keras.layers.GlobalAveragePooling2D(name="pool")(x), num_classes, "logits", deviation)
