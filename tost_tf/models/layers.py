"""The pieces all networks here are made of, with PyTorch's settings, which the paper's numbers were made with.

Padding is PyTorch's: half the kernel on every side.
"""

from tost_tf.compat import keras, tf

# PyTorch's momentum 0.1 is Keras's 0.9.
BATCH_NORMALIZATION = {"momentum": 0.9, "epsilon": 1e-5}


# Images with at least this many pixels a side get the networks made for ImageNet.
LARGE_IMAGE = 128


def channels(base: int, width_multiplier: float) -> int:
    """The number of channels after scaling, at least 1."""
    return max(1, round(base * width_multiplier))


def convolution(
    x: tf.Tensor, filters: int, kernel_size: int, strides: int, name: str, use_bias: bool = False
) -> tf.Tensor:
    """A convolution padded as in PyTorch and initialised as in He et al. 2015.

    Args:
      x: [batch, height, width, channels].
      filters: output channels.
      kernel_size: odd, of both dimensions.
      strides: of both dimensions.
      name: of the layer; padding that is a layer of its own is called `name`_pad.
      use_bias: whether there are biases; they start at zero.
    """
    x, padding = _padded(x, kernel_size, strides, name)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def depthwise_convolution(x: tf.Tensor, kernel_size: int, strides: int, name: str) -> tf.Tensor:
    """A depthwise convolution without bias, padded as in PyTorch."""
    x, padding = _padded(x, kernel_size, strides, name)
    return keras.layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=name,
    )(x)


def _padded(x: tf.Tensor, kernel_size: int, strides: int, name: str) -> tuple[tf.Tensor, str]:
    """What a convolution with an odd kernel reads, and its `padding`, so that half its kernel is padded all around.

    Keras's "same" does that without strides only; with them it pads an even image at the bottom and right alone.
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


def classifier(x: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Global average pooling and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.layers.Dense(num_classes, kernel_initializer="he_normal", name="logits")(x)
