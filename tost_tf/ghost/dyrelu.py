"""Dynamic ReLU that becomes ReLU."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.ghost.neuron_layer import SOFT, GhostNeuron

REDUCTION = 4
PIECES = 2
INTERCEPT_RANGE = 0.5


@keras.utils.register_keras_serializable("tost_tf")
class GhostDyReLU(GhostNeuron):
    """DyReLU-B in place of ReLU; a `GhostSchedule` lowers its α from 1 to 0, and at 0 it is exactly ReLU.

    DyReLU (Chen et al., ECCV 2020, arXiv 2003.10027, Section 3; variant B) is the largest of two linear pieces for each
    channel, whose slopes and intercepts a small network with one hidden layer computes from the means of all channels
    over the positions of the input. Phased out as EAST does ("Pushing the Limits of Sparsity: A Bag of Tricks for
    Extreme Pruning", arXiv 2411.13545): the slopes and intercepts go linearly to those of ReLU.

        θ = 2·sigmoid(relu(mean(x)·squeeze + bias)·excitation + bias) - 1
        y = max((1 + α·θ₁)·x + α·θ₃ / 2, α·θ₂·x + α·θ₄ / 2)

    All constants are those of EAST's released code: two pieces, 1/4 as many hidden units as channels, slopes within 1
    and intercepts within 1/2 of those of ReLU, and weights and biases that start uniform in ±1/√inputs, as PyTorch's
    do. So at the start it is not yet far from ReLU. Our choices, where the code has no answer: at least one hidden unit
    for fewer than four channels; vectors are their own means; the cap of a ReLU6 stays; α falls at every step, while
    the code changes it once an epoch. The code lowers α from a quarter of the training to a half of it, and not from
    the start: that is the schedule "delayed". It computes plain ReLU where α is exactly 1, which looks like a mistake,
    and freezes these weights while α falls only if told to: here they are trained as all others, with the same penalty.

    The weights are no kernels: no mask, and no count of what can be pruned, has them.

    Args:
      alpha: the initial α, in [0, 1].
      max_value: the maximum of a capped ReLU such as ReLU6; `None` for no cap.
      dead_channels: "soft" treats all channels alike; "relu" keeps ReLU where `varies` is 0, which
        `GhostModel.find_dead_channels` sets.
      channel_axis: of the inputs; they are [batch, ..., channels] by default, with any number of dimensions between.
      **kwargs: as for any Keras layer.

    Raises:
      TostError: it is not known how many channels there are.

    Examples:
      >>> tost.GhostDyReLU(alpha=0.0)(np.array([[-2.0, 2.0]])).numpy()
      array([[0., 2.]], dtype=float32)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        max_value: float | None = None,
        dead_channels: str = SOFT,
        channel_axis: int = -1,
        **kwargs: Any,
    ):
        super().__init__(max_value, dead_channels, channel_axis, **kwargs)
        self.initial_alpha = float(alpha)
        self.alpha = self.add_number("alpha", alpha)

    def build(self, input_shape):
        channels = self.channels(input_shape, "DyReLU")
        hidden = max(channels // REDUCTION, 1)
        self.squeeze = self._add_linear("squeeze", channels, hidden)
        self.excitation = self._add_linear("excitation", hidden, 2 * PIECES * channels)
        super().build(input_shape)

    def _add_linear(self, name: str, inputs: int, outputs: int) -> list[tf.Variable]:
        """Weights and biases of a linear layer, under names that no mask or optimizer takes for a kernel's."""
        bound = inputs**-0.5
        return [
            self.add_weight(f"{name}_{part}", shape, initializer=keras.initializers.RandomUniform(-bound, bound))
            for part, shape in (("weights", (inputs, outputs)), ("biases", (outputs,)))
        ]

    def soft(self, inputs):
        rank = len(inputs.shape)
        positions = [axis for axis in range(1, rank) if axis != self.channel_axis % rank]
        hidden = tf.nn.relu(_linear(tf.reduce_mean(inputs, positions), self.squeeze))
        # 2·sigmoid(z) - 1, in which small numbers keep their digits.
        theta = tf.tanh(_linear(hidden, self.excitation) / 2) * tf.cast(self.alpha, inputs.dtype)
        slope, other_slope, intercept, other_intercept = (
            self.by_channel(part, rank) for part in tf.split(theta, 2 * PIECES, axis=-1)
        )
        first = (1 + slope) * inputs + INTERCEPT_RANGE * intercept
        second = other_slope * inputs + INTERCEPT_RANGE * other_intercept
        # The derivative of a maximum of equals is that of the first: at α = 0 it is zero for inputs of 0, as ReLU's.
        return tf.maximum(second, first)

    def get_config(self):
        return super().get_config() | {"alpha": self.initial_alpha}


def _linear(x: tf.Tensor, weights_and_biases: list[tf.Variable]) -> tf.Tensor:
    weights, biases = (tf.cast(part, x.dtype) for part in weights_and_biases)
    return tf.linalg.matmul(x, weights) + biases
