"""The ghost activation layer."""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.registry import GHOST_NEURONS


@keras.utils.register_keras_serializable("tost_tf")
class GhostActivation(keras.layers.Layer):
    """A soft neuron that replaces ReLU; a `GhostSchedule` raises its β until it is (nearly) ReLU.

    Args:
      kind: "pswish", "mish" or a registered kind.
      beta: the initial β.
      max_value: the maximum of a capped ReLU such as ReLU6; `None` for no cap.
      **kwargs: as for any Keras layer.

    Raises:
      TostError: there is no such kind.
    """

    def __init__(self, kind: str = "pswish", beta: float = 1.0, max_value: float | None = None, **kwargs):
        super().__init__(**kwargs)
        self.function = GHOST_NEURONS[kind]
        self.supports_masking = True
        self.kind, self.initial_beta, self.max_value = kind, float(beta), max_value
        self.beta = self.add_weight("beta", (), initializer=keras.initializers.Constant(beta), trainable=False)

    def call(self, inputs):
        outputs = self.function(inputs, tf.cast(self.beta, inputs.dtype))
        return outputs if self.max_value is None else tf.minimum(outputs, tf.cast(self.max_value, outputs.dtype))

    def get_config(self):
        return super().get_config() | {
            "kind": self.kind,
            "beta": self.initial_beta,
            "max_value": self.max_value,
        }
