"""Operations that are in a graph without a layer, such as `x * 2.0`, in both Keras."""

from __future__ import annotations

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
    "math.maximum": "maximum",
    "math.minimum": "minimum",
    "math.not_equal": "not_equal",
    "math.logical_and": "logical_and",
    "math.logical_or": "logical_or",
    "identity": "copy",
}

# Class of a Keras 3 operation -> name in `tensorflow`.
FROM_KERAS3 = {
    "Add": "math.add",
    "Subtract": "math.subtract",
    "Multiply": "math.multiply",
    "Divide": "math.divide",
    "TrueDivide": "math.divide",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Sigmoid": "math.sigmoid",
    "Tanh": "math.tanh",
    "Silu": "nn.silu",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "NotEqual": "math.not_equal",
    "LogicalAnd": "math.logical_and",
    "LogicalOr": "math.logical_or",
    "Copy": "identity",
}
