"""The ghost activation layer."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.ghost.kinds import Kind, config_of, function_of
from tost_tf.ghost.neuron_layer import SOFT, GhostNeuron
from tost_tf.ranges import require_number
from tost_tf.registry import GHOST_NEURONS


@keras.utils.register_keras_serializable("tost_tf")
class GhostActivation(GhostNeuron):
    """A soft neuron that replaces ReLU; a `GhostSchedule` raises its β until it is (nearly) ReLU.

    Args:
      kind: "pswish", "mish", a registered kind, or a function (x, β) that is ReLU for β → ∞.
      beta: the initial β, at least 0.
      max_value: the maximum of a capped ReLU such as ReLU6; `None` for no cap.
      dead_channels: "soft" (the paper's) treats all channels alike; "relu" keeps ReLU where `varies` is 0, which
        `GhostModel.find_dead_channels` sets.
      channel_axis: of the inputs, for "relu".
      **kwargs: as for any Keras layer.

    Attributes:
      varies: with "relu", 1 for each channel that is soft, all at first, and 0 for those that do not vary.

    Raises:
      TostError: there is no such kind, it is a layer, β is out of range, or it is not known how many channels there
        are.

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
        super().__init__(max_value, dead_channels, channel_axis, **kwargs)
        self.function = function_of(GHOST_NEURONS, kind)
        if is_layer(self.function):
            raise TostError(f"{kind!r} is a layer by itself: use {self.function.__name__} instead of GhostActivation")
        require_number("beta", beta, minimum=0)
        self.kind = kind if isinstance(kind, str) else self.function
        self.initial_beta = float(beta)
        self.beta = self.add_number("beta", beta)

    def soft(self, inputs):
        return self.function(inputs, tf.cast(self.beta, inputs.dtype))

    def get_config(self):
        return super().get_config() | {"kind": config_of(self.kind), "beta": self.initial_beta}


def is_layer(kind: Any) -> bool:
    """Whether a kind of ghost neurons is a class of layers, with weights of their own, and not a function (x, β)."""
    return isinstance(kind, type) and issubclass(kind, GhostNeuron)
