"""The ghost skip layer."""

from tost_tf.compat import keras, tf
from tost_tf.config.names import GHOST_SKIPS


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
        skip, block_output = inputs
        if any(self.crop):
            skip = skip[:, self.crop[0] :, self.crop[1] :, :]
        for layer in self.branch:
            skip = layer(skip, training=training) if "training" in layer._call_spec.arg_names else layer(skip)
        height, width = tf.shape(block_output)[1], tf.shape(block_output)[2]
        if skip.shape[1:3] != block_output.shape[1:3]:
            skip = skip[:, :height, :width, :]
        skip = _match_channels(skip, block_output.shape[-1])
        return block_output + tf.cast(self.alpha, block_output.dtype) * skip

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
