"""Soft neurons that become ReLU as β grows: functions of a tensor and a scalar β >= 0.

β is a number, or a tensor or variable of the tensor's type.
"""

from __future__ import annotations

from tost_tf.compat import tf


def pswish(x: tf.Tensor, beta: tf.Tensor | tf.Variable | float) -> tf.Tensor:
    """Parametric Swish, x·sigmoid(βx): Swish at β = 1, ReLU for β → ∞ (ToST, Section 2.2).

    Stores only `x` for the backward pass, which needs four element-wise operations besides the sigmoid; in float16
    five, as βx may be infinite there, and no product becomes NaN however large |x| and β are. bfloat16 is computed in
    float32: a CPU takes five times as long for its sigmoid. β may be a trained variable; if its derivative is not used,
    a graph does not compute it.
    """
    computed = tf.float32 if x.dtype == tf.bfloat16 else x.dtype

    @tf.custom_gradient
    def with_gradient(x, beta):
        def gradient(upstream):
            wide, steepness = tf.cast(x, computed), tf.cast(beta, computed)
            scaled = steepness * wide
            gate = tf.sigmoid(scaled)
            # SigmoidGrad is dy·y·(1 - y) in one operation: NaN for an infinite dy.
            slope = tf.raw_ops.SigmoidGrad(y=gate, dy=wide)
            steep = steepness * slope if computed == tf.float16 else tf.raw_ops.SigmoidGrad(y=gate, dy=scaled)
            by_beta = tf.reduce_sum(tf.cast(upstream, computed) * wide * slope)
            return upstream * tf.cast(gate + steep, x.dtype), tf.cast(by_beta, beta.dtype)

        wide = tf.cast(x, computed)
        return tf.cast(wide * tf.sigmoid(tf.cast(beta, computed) * wide), x.dtype), gradient

    return with_gradient(x, tf.convert_to_tensor(beta, x.dtype))


def mish(x: tf.Tensor, beta: tf.Tensor | tf.Variable | float) -> tf.Tensor:
    """Parametric Mish, x·tanh(softplus(βx)): Mish at β = 1, ReLU for β → ∞.

    The paper names Mish (Misra 2019) as the other soft neuron, but gives no parameter that removes it; β is used as in
    PSwish.
    """
    return x * tf.tanh(tf.math.softplus(tf.convert_to_tensor(beta, x.dtype) * x))
