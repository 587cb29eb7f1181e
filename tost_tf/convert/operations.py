"""Operations that stand in a graph without a layer, such as `x * 2.0`, in both Keras."""

from __future__ import annotations

from tost_tf.compat import tf

# TensorFlow's symbol in a tf_keras graph -> name in `keras.ops`.
TO_KERAS3 = {
    "math.add": "add",
    "__operators__.add": "add",
    "math.subtract": "subtract",
    "math.multiply": "multiply",
    "math.divide": "divide",
    "math.truediv": "divide",
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "math.sigmoid": "sigmoid",
    "nn.sigmoid": "sigmoid",
    "math.tanh": "tanh",
    "nn.silu": "silu",
}

# Class of a Keras 3 operation -> TensorFlow's function.
FROM_KERAS3 = {
    "Add": tf.math.add,
    "Subtract": tf.math.subtract,
    "Multiply": tf.math.multiply,
    "Divide": tf.math.divide,
    "TrueDivide": tf.math.divide,
    "Relu": tf.nn.relu,
    "Relu6": tf.nn.relu6,
    "Sigmoid": tf.math.sigmoid,
    "Tanh": tf.math.tanh,
    "Silu": tf.nn.silu,
}
