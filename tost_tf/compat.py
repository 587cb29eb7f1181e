"""The one place that picks a Keras and reaches into tensorflow-model-optimization, Keras and TensorFlow.

tensorflow-model-optimization 0.8.1 works on Keras 2 only (the package `tf_keras`) and looks at
`TF_USE_LEGACY_KERAS` when TensorFlow first makes `tf.keras`. So the variable is set before TensorFlow is
imported, and every other file of the project takes `tf`, `keras` and the pruning classes from here.
"""

import contextlib
import importlib
import os
import types
from collections.abc import Iterator

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf
import tf_keras as keras
from tensorflow.python.ops import nn_impl
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import (
    PruneLowMagnitude,
)

from tost_tf.errors import TostError

__all__ = [
    "PruneLowMagnitude",
    "call_arguments",
    "exact_moments",
    "graph_nodes",
    "is_graph_model",
    "keras",
    "keras3",
    "require_graph_model",
    "start_fit_at_step",
    "tf",
]


def is_graph_model(layer: object) -> bool:
    """Whether `layer` is a functional or (built) Sequential model, whose graph can be walked."""
    return isinstance(layer, keras.Model) and getattr(layer, "_is_graph_network", False)


def keras3() -> types.ModuleType:
    """Keras 3, the package `keras`, imported when it is first asked for: only conversions need it.

    Raises:
      TostError: it is not installed, or an older one is.
    """
    try:
        package = importlib.import_module("keras")
    except ImportError as error:
        raise TostError(f"Keras 3 is needed for this and cannot be imported ({error}): pip install keras") from None
    if int(package.__version__.split(".")[0]) < 3:
        raise TostError(f"Keras 3 is needed for this, the package `keras` is {package.__version__}")
    return package


@contextlib.contextmanager
def exact_moments() -> Iterator[None]:
    """As long as the block lasts, the variances of `tf.nn.moments` have the right second derivatives.

    TensorFlow takes the variance around a mean that it holds fixed (`tf.stop_gradient`). Of the first derivative that
    leaves out a part that is zero; of the second it leaves out one that is not. All that is traced in the block sees
    moments of the same values without that, such as BatchNormalization that is not fused and LayerNormalization.
    (Fused BatchNormalization has second derivatives of its own, which are right.)
    """
    original = nn_impl.moments

    def moments(x, axes, shift=None, name=None, keep_dims=None, keepdims=None):
        del shift  # nor does TensorFlow use it
        with tf.name_scope(name or "moments"):
            values = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x
            mean = tf.reduce_mean(values, axes, keepdims=True)
            variance = tf.reduce_mean(tf.math.squared_difference(values, mean), axes, keepdims=True)
            if not (keepdims or keep_dims):
                mean, variance = tf.squeeze(mean, axes), tf.squeeze(variance, axes)
            return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)

    nn_impl.moments = moments
    try:
        yield
    finally:
        nn_impl.moments = original


def start_fit_at_step(model: "keras.Model", step: int) -> None:
    """Makes `fit`, which has begun, start its first epoch at `step`, by what Keras's own BackupAndRestore uses."""

    def counters(steps_per_epoch: int, initial_epoch: int) -> tuple[int, int]:
        del model._maybe_load_initial_counters_from_ckpt  # another `fit` starts at the start
        return initial_epoch, step

    model._maybe_load_initial_counters_from_ckpt = counters


def require_graph_model(model: object) -> None:
    """Raises `TostError`, saying what to do, unless `model` is a functional or Sequential tf_keras model."""
    if is_graph_model(model):
        return
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    is_keras_3 = any(base.__module__.startswith("keras.src") for base in type(model).__mro__)
    if is_keras_3:
        raise TostError(
            f"{kind} is a Keras 3 model, which tensorflow-model-optimization cannot prune: turn it into a "
            "tf_keras model with `tost_tf.from_keras3(model)`"
        )
    if isinstance(model, keras.Sequential):
        raise TostError(
            f"the Sequential model {model.name!r} has no input shape yet: give its first layer an "
            "`input_shape` or call `model.build(...)` first"
        )
    if isinstance(model, keras.Model):
        raise TostError(
            f"{kind} is a subclassed model, whose graph cannot be seen: write it with the functional API "
            "(`tf_keras.Model(inputs, outputs)`) or as a Sequential model"
        )
    raise TostError(f"expected a functional or Sequential tf_keras model, got an object of type {kind}")


def graph_nodes(model: "keras.Model") -> list:
    """The calls of layers in `model`'s graph, inputs left out, each after those it depends on."""
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def call_arguments(node, tensors: "dict[str, tf.Tensor]") -> tuple[tuple, dict]:
    """The positional and keyword arguments of a node's call, its input tensors replaced.

    Args:
      node: one of `graph_nodes`.
      tensors: a tensor for each of `node.flat_input_ids`.
    """
    # The node takes its tensors off lists, one for each use.
    return node.map_arguments({key: [tensors[key]] * node.flat_input_ids.count(key) for key in node.flat_input_ids})
