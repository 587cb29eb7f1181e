"""The ghost activation layer."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError, unknown_name
from tost_tf.ghost.kinds import Kind, config_of, function_of
from tost_tf.registry import GHOST_NEURONS

SOFT, RELU = DEAD_CHANNELS = ("soft", "relu")  # what channels that do not vary go through


@keras.utils.register_keras_serializable("tost_tf")
class GhostActivation(keras.layers.Layer):
    """A soft neuron that replaces ReLU; a `GhostSchedule` raises its β until it is (nearly) ReLU.

    Args:
      kind: "pswish", "mish", a registered kind, or a function (x, β) that is ReLU for β → ∞.
      beta: the initial β.
      max_value: the maximum of a capped ReLU such as ReLU6; `None` for no cap.
      dead_channels: "soft" (the paper's) treats all channels alike; "relu" keeps ReLU where `varies` is 0, which
        `GhostModel.find_dead_channels` sets.
      channel_axis: of the inputs, for "relu".
      **kwargs: as for any Keras layer.

    Attributes:
      varies: with "relu", 1 for each channel that is soft, all at first, and 0 for those that do not vary.

    Raises:
      TostError: there is no such kind, or it is not known how many channels there are.

    Examples:
      >>> tost.GhostActivation("pswish", beta=1.5)(np.array([[-2.0, 2.0]])).numpy().round(3)
      array([[-0.095,  1.905]], dtype=float32)
    """

    def __init__(
        self,
        kind: Kind = "pswish",
        beta: float = 1.0,
        max_value: float | None = None,
        dead_channels: str = SOFT,
        channel_axis: int = -1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if dead_channels not in DEAD_CHANNELS:
            raise unknown_name("dead_channels", dead_channels, DEAD_CHANNELS)
        self.function = function_of(GHOST_NEURONS, kind)
        self.supports_masking = True
        self.kind = kind if isinstance(kind, str) else self.function
        self.initial_beta, self.max_value = float(beta), max_value
        with tf.name_scope(self.name):  # an HDF5 file has no two weights of one name
            self.beta = self.add_weight("beta", (), initializer=keras.initializers.Constant(beta), trainable=False)
        self.dead_channels, self.channel_axis = dead_channels, channel_axis
        self.varies = None

    def build(self, input_shape):
        if self.dead_channels == RELU:
            channels = input_shape[self.channel_axis]
            if channels is None:
                raise TostError(f"{self.name} has no fixed number of channels, as dead_channels='relu' needs")
            self.varies = self.add_weight("varies", (channels,), initializer="ones", trainable=False)
        super().build(input_shape)

    def call(self, inputs):
        outputs = self.function(inputs, tf.cast(self.beta, inputs.dtype))
        if self.varies is not None:
            shape = [1] * len(inputs.shape)
            shape[self.channel_axis] = -1
            outputs = tf.where(tf.reshape(self.varies > 0, shape), outputs, tf.nn.relu(inputs))
        return outputs if self.max_value is None else tf.minimum(outputs, tf.cast(self.max_value, outputs.dtype))

    def get_config(self):
        return super().get_config() | {
            "kind": config_of(self.kind),
            "beta": self.initial_beta,
            "max_value": self.max_value,
            "dead_channels": self.dead_channels,
            "channel_axis": self.channel_axis,
        }
