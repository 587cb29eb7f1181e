"""The pieces all networks here are made of, with PyTorch's settings, which the paper's numbers were made with."""

from tost_tf.compat import keras, tf

# PyTorch's momentum 0.1 is Keras's 0.9.
BATCH_NORMALIZATION = {"momentum": 0.9, "epsilon": 1e-5}


# Images with at least this many pixels a side get the networks made for ImageNet.
LARGE_IMAGE = 128


def channels(base: int, width_multiplier: float) -> int:
    """The number of channels after scaling, at least 1."""
    return max(1, round(base * width_multiplier))


def convolution(
    x: tf.Tensor,
    filters: int,
    kernel_size: int,
    strides: int,
    name: str,
    padding: str = "same",
    use_bias: bool = False,
) -> tf.Tensor:
    """A convolution initialised as in He et al. 2015, without bias where BatchNormalization has one."""
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def torch_padding(x: tf.Tensor, pixels: int, name: str) -> tf.Tensor:
    """The same padding on all sides, as PyTorch pads; Keras's "same" pads strided layers at the bottom and right."""
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
