"""The ghost skip layer."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.ghost.alignment import first_centre, first_window, read_length
from tost_tf.ghost.kinds import Kind, config_of, function_of
from tost_tf.graph.copy import copy_layer
from tost_tf.registry import GHOST_GATES, GHOST_SKIPS

NEEDS_TRAINING = (keras.layers.BatchNormalization, keras.layers.Dropout)
POOLINGS = tuple(getattr(keras.layers, f"{kind}Pooling{n}D") for kind in ("Average", "Max") for n in (1, 2, 3))


@keras.utils.register_keras_serializable("tost_tf")
class GhostSkip(keras.layers.Layer):
    """Adds α times the (matched) input of a convolution block to the block's output.

    It is called on `[block_input, block_output]`, both [batch, height, width, channels] (or with one or three
    dimensions between batch and channels, or channels first), and returns the shape of `block_output`.
    A `GhostSchedule` lowers α from 1 to 0.

    The skip reads the block's input at the centre of the convolution's kernel, for any strides and padding; the windows
    of poolings contain the centre (see `tost_tf.ghost.alignment`).

    Args:
      kind: "projection", "identity", a registered one, or a function as those of `tost_tf.ghost.skips`.
      strides, kernel_size, dilation_rate: those of the block's convolution, one number for all dimensions, or one for
        each.
      padding: that of the block's convolution, "same", "valid" or "causal".
      kernel_initializer: "constant", "he_normal" or "dirac", for kinds with a kernel.
      alpha: the initial α.
      data_format: "channels_last" or "channels_first", of both inputs.
      gate: "scaled", "stochastic", "variance_preserving" or a registered one: how α puts skip and block together.
      seed: of the draws of a stochastic gate, which depend on it and on the step that a `GhostSchedule` is at.
      **kwargs: as for any Keras layer.

    Raises:
      TostError: there is no such kind or gate.

    Examples:
      >>> inputs = keras.Input((8, 8, 4))
      >>> outputs = keras.layers.Conv2D(6, 3, strides=2, padding="same")(inputs)
      >>> tost.GhostSkip("projection", strides=2, kernel_size=3)([inputs, outputs]).shape
      TensorShape([None, 4, 4, 6])
    """

    def __init__(
        self,
        kind: Kind = "projection",
        strides: int | tuple[int, ...] = 1,
        kernel_size: int | tuple[int, ...] = 1,
        dilation_rate: int | tuple[int, ...] = 1,
        padding: str = "same",
        kernel_initializer: str = "constant",
        alpha: float = 1.0,
        data_format: str = "channels_last",
        gate: str = "scaled",
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.make_branch, self.put_together = function_of(GHOST_SKIPS, kind), GHOST_GATES[gate]
        self.kind = kind if isinstance(kind, str) else self.make_branch
        self.kernel_initializer, self.initial_alpha = kernel_initializer, float(alpha)
        self.strides, self.kernel_size, self.dilation_rate = strides, kernel_size, dilation_rate
        self.padding, self.data_format = padding, data_format
        self.gate, self.seed = gate, seed
        with tf.name_scope(self.name):  # an HDF5 file has no two weights of one name
            self.alpha = self.add_weight("alpha", (), initializer=keras.initializers.Constant(alpha), trainable=False)
            # The paper's gate draws nothing, and checkpoints of it have no step.
            self.step = None if gate == "scaled" else self.add_weight("step", (), tf.int64, "zeros", trainable=False)

    def build(self, input_shape):
        block_input, block_output = (tf.TensorShape(self._channels_last(list(shape))) for shape in input_shape)
        self._strides = _each(self.strides, len(block_output) - 2)
        precision = self.dtype_policy.name
        branch = self.make_branch(block_output[-1], self._strides, self.kernel_initializer)
        self.branch = [copy_layer(layer, precision) if layer.dtype != precision else layer for layer in branch]
        self._pools = any(isinstance(layer, POOLINGS) for layer in self.branch)
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
        alpha = tf.cast(self.alpha, block_output.dtype)
        result = self.put_together(block_output, skip, alpha, self._draw, False if training is None else training)
        return _moved(result, -1, 1) if self.data_format == "channels_first" else result

    def _draw(self) -> tf.Tensor:
        return tf.random.stateless_uniform((), tf.stack([tf.constant(self.seed, tf.int64), self.step]))

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[1]

    def _aligned(self, block_input: tf.Tensor, block_output: tf.Tensor) -> tf.Tensor:
        """The part of the input that the branch reads, so that its normalisation sees only this part."""
        kernels, dilations = (_each(value, len(self._strides)) for value in (self.kernel_size, self.dilation_rate))
        sizes, outputs = _lengths(block_input), _lengths(block_output)
        starts, lengths = [], []
        for size, kernel, stride, dilation, count in zip(
            sizes, kernels, self._strides, dilations, outputs, strict=True
        ):
            start = first_centre(size, kernel, stride, dilation, self.padding)
            if self._pools:
                start = first_window(start, size, stride, count)
            starts.append(start)
            lengths.append(read_length(start, size, stride, count))
        if all(isinstance(length, int) for length in lengths) and lengths == sizes:
            return block_input
        # Not block_input[:, start:stop]: its gradient takes ten times as long as that of `slice`, a padding.
        return tf.slice(block_input, [0, *starts, 0], [-1, *lengths, -1])

    def _channels_last(self, shape: list[int | None]) -> list[int | None]:
        return [shape[0], *shape[2:], shape[1]] if self.data_format == "channels_first" else shape

    def compute_output_shape(self, input_shape):
        return input_shape[1]

    def get_config(self):
        return super().get_config() | {
            "kind": config_of(self.kind),
            "strides": self.strides,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "padding": self.padding,
            "kernel_initializer": self.kernel_initializer,
            "alpha": self.initial_alpha,
            "data_format": self.data_format,
            "gate": self.gate,
            "seed": self.seed,
        }


def _each(value: int | tuple[int, ...], dimensions: int) -> tuple[int, ...]:
    return (value,) * dimensions if isinstance(value, int) else tuple(value)


def _lengths(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The sizes of the dimensions between batch and channels."""
    dynamic = tf.shape(x)
    return [dynamic[axis] if x.shape[axis] is None else x.shape[axis] for axis in range(1, len(x.shape) - 1)]


def _moved(x: tf.Tensor, source: int, target: int) -> tf.Tensor:
    order = list(range(len(x.shape)))
    order.insert(target % len(order), order.pop(source))
    return tf.transpose(x, order)


def _match_channels(x: tf.Tensor, channels: int) -> tf.Tensor:
    missing = channels - x.shape[-1]
    if missing > 0:
        return tf.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, missing]])
    return x[..., :channels] if missing < 0 else x
