"""The ghost skip layer."""

from tost_tf.compat import keras, tf
from tost_tf.config.names import GHOST_SKIPS

NEEDS_TRAINING = (keras.layers.BatchNormalization, keras.layers.Dropout)


@keras.utils.register_keras_serializable("tost_tf")
class GhostSkip(keras.layers.Layer):
    """Adds α times the (matched) input of a convolution block to the block's output.

    Called on `[block_input, block_output]`, both [batch, height, width, channels]; gives the shape of `block_output`.
    A `GhostSchedule` lowers α from 1 to 0.

    Args:
      kind: "projection", "identity" or a registered one.
      strides: the strides of the block's convolution.
      crop: pixels left out at the top and left of the input: for a VALID convolution, half its kernel, so that the
        skip reads where the kernel's centre is.
      kernel_initializer: "constant" or "he_normal", for kinds with a kernel.
      alpha: α at the start.
      **kwargs: as for any Keras layer.

    Raises:
      TostError: no such kind.
    """

    def __init__(
        self,
        kind: str = "projection",
        strides: int | tuple[int, int] = 1,
        crop: int | tuple[int, int] = 0,
        kernel_initializer: str = "constant",
        alpha: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.make_branch = GHOST_SKIPS[kind]
        self.kind, self.kernel_initializer, self.initial_alpha = kind, kernel_initializer, float(alpha)
        self.strides, self.crop = _pair(strides), _pair(crop)
        self.alpha = self.add_weight("alpha", (), initializer=keras.initializers.Constant(alpha), trainable=False)

    def build(self, input_shape):
        block_input, block_output = input_shape
        self.branch = self.make_branch(block_output[-1], self.strides, self.kernel_initializer)
        shape = tf.TensorShape(block_input)
        for layer in self.branch:
            with tf.name_scope(layer.name):
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
        super().build(input_shape)

    def call(self, inputs, training=None):
        block_input, block_output = inputs
        skip = self._aligned(block_input, block_output)
        for layer in self.branch:
            skip = layer(skip, training=training) if isinstance(layer, NEEDS_TRAINING) else layer(skip)
        skip = _match_channels(skip, block_output.shape[-1])
        return block_output + tf.cast(self.alpha, block_output.dtype) * skip

    def _aligned(self, block_input: tf.Tensor, block_output: tf.Tensor) -> tf.Tensor:
        """The part of the input that gives an output of the right size, and nothing else to the normalisation."""
        sizes = zip(block_input.shape[1:3], block_output.shape[1:3], self.strides, strict=True)
        fits = all(old and new and -(-old // stride) == new for old, new, stride in sizes)
        if fits and not any(self.crop):
            return block_input
        rows, columns = (tf.shape(block_output)[axis + 1] * self.strides[axis] for axis in (0, 1))
        top, left = self.crop
        return block_input[:, top : top + rows, left : left + columns, :]

    def compute_output_shape(self, input_shape):
        return input_shape[1]

    def get_config(self):
        return super().get_config() | {
            "kind": self.kind,
            "strides": self.strides,
            "crop": self.crop,
            "kernel_initializer": self.kernel_initializer,
            "alpha": self.initial_alpha,
        }


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _match_channels(x: tf.Tensor, channels: int) -> tf.Tensor:
    missing = channels - x.shape[-1]
    if missing > 0:
        return tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, missing]])
    return x[..., :channels] if missing < 0 else x
