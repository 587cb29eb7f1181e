"""What the layers have in common that replace a ReLU until the ghosts end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError, unknown_name

SOFT, RELU = DEAD_CHANNELS = ("soft", "relu")  # what channels that do not vary go through


class GhostNeuron(keras.layers.Layer):
    """A layer in place of a ReLU. A subclass computes in `soft` what is there instead of the ReLU.

    A subclass can be registered as a kind of ghost neurons; it takes the arguments below, and has an α or a β.

    Args:
      max_value: the maximum of a capped ReLU such as ReLU6; `None` for no cap.
      dead_channels: "soft" treats all channels alike; "relu" keeps ReLU where `varies` is 0, which
        `GhostModel.find_dead_channels` sets.
      channel_axis: of the inputs.
      **kwargs: as for any Keras layer.

    Attributes:
      alpha, beta: made by `add_number` if a `GhostSchedule` is to change them, else `None`: α goes from 1 to 0, with
        ReLU at 0; β grows.
      varies: with "relu", 1 for each channel that is soft, all at first, and 0 for those that do not vary.

    Raises:
      TostError: `dead_channels` is something else, or it is not known how many channels there are.
    """

    alpha: tf.Variable | None = None
    beta: tf.Variable | None = None

    def __init__(
        self, max_value: float | None = None, dead_channels: str = SOFT, channel_axis: int = -1, **kwargs: Any
    ):
        super().__init__(**kwargs)
        if dead_channels not in DEAD_CHANNELS:
            raise unknown_name("dead_channels", dead_channels, DEAD_CHANNELS)
        self.supports_masking = True
        self.max_value, self.dead_channels, self.channel_axis = max_value, dead_channels, channel_axis
        self.varies = None

    def add_number(self, name: str, value: float) -> tf.Variable:
        """A scalar that is not trained."""
        with tf.name_scope(self.name):  # an HDF5 file has no two weights of one name
            return self.add_weight(name, (), initializer=keras.initializers.Constant(value), trainable=False)

    def channels(self, shape: Sequence[int | None], needed_for: str) -> int:
        """How many channels inputs of a shape have."""
        count = shape[self.channel_axis]
        if count is None:
            raise TostError(f"{self.name} has no fixed number of channels, as {needed_for} needs")
        return count

    def by_channel(self, values: tf.Tensor, rank: int) -> tf.Tensor:
        """Values [channels] or [batch, channels] in the shape in which they meet inputs of this rank."""
        shape = [1] * rank
        if values.shape.rank > 1:
            shape[0] = -1
        shape[self.channel_axis] = values.shape[-1]
        return tf.reshape(values, shape)

    def build(self, input_shape):
        if self.dead_channels == RELU:
            count = self.channels(input_shape, "dead_channels='relu'")
            self.varies = self.add_weight("varies", (count,), initializer="ones", trainable=False)
        super().build(input_shape)

    def soft(self, inputs: tf.Tensor) -> tf.Tensor:
        """What is there instead of ReLU, of the shape of the inputs."""
        raise NotImplementedError

    def call(self, inputs):
        outputs = self.soft(inputs)
        if self.varies is not None:
            varies = self.by_channel(self.varies > 0, len(inputs.shape))
            outputs = tf.where(varies, outputs, tf.nn.relu(inputs))
        return outputs if self.max_value is None else tf.minimum(outputs, tf.cast(self.max_value, outputs.dtype))

    def get_config(self):
        return super().get_config() | {
            "max_value": self.max_value,
            "dead_channels": self.dead_channels,
            "channel_axis": self.channel_axis,
        }
