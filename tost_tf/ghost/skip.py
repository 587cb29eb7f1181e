"""The ghost skip layer."""

from tost_tf.compat import keras, tf
from tost_tf.config.names import GHOST_SKIPS
from tost_tf.graph.copy import copy_layer

NEEDS_TRAINING = (keras.layers.BatchNormalization, keras.layers.Dropout)


@keras.utils.register_keras_serializable("tost_tf")
class GhostSkip(keras.layers.Layer):
    """Adds α times the (matched) input of a convolution block to the block's output.

    Called on `[block_input, block_output]`, both [batch, height, width, channels] (or one, or three dimensions between
    batch and channels; or the channels first); gives the shape of `block_output`.
    A `GhostSchedule` lowers α from 1 to 0.

    Args:
      kind: "projection", "identity" or a registered one.
      strides: the strides of the block's convolution.
        One number for all dimensions, or one for each.
      crop: pixels left out at the start of the input, by dimension as `strides`: for a VALID convolution, half its
        kernel, so that the skip reads where the kernel's centre is.
      kernel_initializer: "constant" or "he_normal", for kinds with a kernel.
      alpha: α at the start.
      data_format: "channels_last" or "channels_first", of both inputs.
      **kwargs: as for any Keras layer.

    Raises:
      TostError: no such kind.
    """

    def __init__(
        self,
        kind: str = "projection",
        strides: int | tuple[int, ...] = 1,
        crop: int | tuple[int, ...] = 0,
        kernel_initializer: str = "constant",
        alpha: float = 1.0,
        data_format: str = "channels_last",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.make_branch = GHOST_SKIPS[kind]
        self.kind, self.kernel_initializer, self.initial_alpha = kind, kernel_initializer, float(alpha)
        self.strides, self.crop, self.data_format = strides, crop, data_format
        self.alpha = self.add_weight("alpha", (), initializer=keras.initializers.Constant(alpha), trainable=False)

    def build(self, input_shape):
        block_input, block_output = (tf.TensorShape(self._channels_last(list(shape))) for shape in input_shape)
        dimensions = len(block_output) - 2
        self._strides, self._crop = _each(self.strides, dimensions), _each(self.crop, dimensions)
        precision = self.dtype_policy.name
        branch = self.make_branch(block_output[-1], self._strides, self.kernel_initializer)
        self.branch = [copy_layer(layer, precision) if layer.dtype != precision else layer for layer in branch]
        shape = block_input
        for layer in self.branch:
            with tf.name_scope(layer.name):
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
        super().build(input_shape)

    def call(self, inputs, training=None):
        block_input, block_output = inputs
        if self.data_format == "channels_first":
            block_input, block_output = _moved(block_input, 1, -1), _moved(block_output, 1, -1)
        skip = self._aligned(block_input, block_output)
        for layer in self.branch:
            skip = layer(skip, training=training) if isinstance(layer, NEEDS_TRAINING) else layer(skip)
        skip = _match_channels(skip, block_output.shape[-1])
        result = block_output + tf.cast(self.alpha, block_output.dtype) * skip
        return _moved(result, -1, 1) if self.data_format == "channels_first" else result

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[1]

    def _aligned(self, block_input: tf.Tensor, block_output: tf.Tensor) -> tf.Tensor:
        """The part of the input that gives an output of the right size, and nothing else to the normalisation."""
        sizes = zip(block_input.shape[1:-1], block_output.shape[1:-1], self._strides, strict=True)
        fits = all(old and new and -(-old // stride) == new for old, new, stride in sizes)
        if fits and not any(self._crop):
            return block_input
        lengths = [tf.shape(block_output)[axis + 1] * stride for axis, stride in enumerate(self._strides)]
        parts = [slice(start, start + length) for start, length in zip(self._crop, lengths, strict=True)]
        return block_input[:, *parts, :]

    def _channels_last(self, shape: list[int | None]) -> list[int | None]:
        return [shape[0], *shape[2:], shape[1]] if self.data_format == "channels_first" else shape

    def compute_output_shape(self, input_shape):
        return input_shape[1]

    def get_config(self):
        return super().get_config() | {
            "kind": self.kind,
            "strides": self.strides,
            "crop": self.crop,
            "kernel_initializer": self.kernel_initializer,
            "alpha": self.initial_alpha,
            "data_format": self.data_format,
        }


def _each(value: int | tuple[int, ...], dimensions: int) -> tuple[int, ...]:
    return (value,) * dimensions if isinstance(value, int) else tuple(value)


def _moved(x: tf.Tensor, source: int, target: int) -> tf.Tensor:
    order = list(range(len(x.shape)))
    order.insert(target % len(order), order.pop(source))
    return tf.transpose(x, order)


def _match_channels(x: tf.Tensor, channels: int) -> tf.Tensor:
    missing = channels - x.shape[-1]
    if missing > 0:
        return tf.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, missing]])
    return x[..., :channels] if missing < 0 else x
