"""The only file that chooses a Keras and uses private parts of Keras, TensorFlow and tfmot.

tensorflow-model-optimization 0.8.1 works only with Keras 2 (the package `tf_keras`) and reads `TF_USE_LEGACY_KERAS`
when TensorFlow first creates `tf.keras`. So the variable is set before TensorFlow is imported, and all other files of
the project take `tf` and `keras` from here. Both are imported at first use, so options can be checked without waiting
for TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tost_tf.errors import TostError

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Hides TensorFlow's notes about the machine at import; set it to 0 to see them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

TFMOT = "tensorflow_model_optimization.python.core.sparsity.keras"


NOTE = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog")


class LazyModule(types.ModuleType):
    """A module that is imported at the first use of one of its attributes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_imported(self.__name__), name)

    def __dir__(self) -> list[str]:
        return dir(_imported(self.__name__))


@functools.cache  # so that AutoGraph does not look into it
def _imported(name: str) -> types.ModuleType:
    with _without_notes():
        return importlib.import_module(name)


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Inside the block, TensorFlow's notes about the machine are not printed; other output is printed after it.

    TensorFlow writes these notes before it reads the log level. Where there is no standard error, as in a service,
    nothing is held back; a log level of 0 (`TF_CPP_MIN_LOG_LEVEL`) shows everything as it comes, also what an import
    writes that ends the process.
    """
    try:
        original = os.dup(2)
    except OSError:
        original = None
    if original is None or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as written, os.fdopen(original, "wb") as errors:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            written.seek(0)
            errors.writelines(line for line in written if not NOTE.match(line))


if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras
else:
    tf, keras = LazyModule("tensorflow"), LazyModule("tf_keras")


@functools.cache
def pruning_wrapper() -> type[keras.layers.Wrapper]:
    """The class of tensorflow-model-optimization's pruning wrapper."""
    with _without_keras3():
        return importlib.import_module(f"{TFMOT}.pruning_wrapper").PruneLowMagnitude


@contextlib.contextmanager
def _without_keras3() -> Iterator[None]:
    """Inside the block, the package `keras` cannot be imported, unless it is imported already.

    tensorflow-model-optimization tries to import a private module of it that Keras 3 does not have, and works without.
    The attempt imports all of Keras 3, scikit-learn and matplotlib, which takes more than a second.
    """
    if "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # makes Python's import raise
    try:
        yield
    finally:
        del sys.modules["keras"]


def is_pruning_wrapper(layer: object) -> bool:
    """Whether `layer` is a pruning wrapper, of this project or of tensorflow-model-optimization."""
    return isinstance(layer, pruning_wrapper())


def is_graph_model(layer: object) -> bool:
    """Whether `layer` is a functional or (built) Sequential model, whose graph can be walked."""
    return isinstance(layer, keras.Model) and getattr(layer, "_is_graph_network", False)


def keras3() -> types.ModuleType:
    """Keras 3, the package `keras`, imported at first use: only conversions need it.

    Raises:
      TostError: it is not installed, or an older version is.
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
    """Inside the block, the variances of `tf.nn.moments` have the right second derivatives.

    TensorFlow computes the variance around a mean that it treats as constant (`tf.stop_gradient`). In the first
    derivative the missing part is zero; in the second it is not. Code traced in the block, such as BatchNormalization
    that is not fused and LayerNormalization, gets moments with the same values but without `tf.stop_gradient`. (Fused
    BatchNormalization has its own second derivatives, which are right.)
    """
    nn_impl = importlib.import_module("tensorflow.python.ops.nn_impl")
    original = nn_impl.moments

    def moments(x, axes, shift=None, name=None, keep_dims=None, keepdims=None):
        del shift  # TensorFlow does not use it either
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


@contextlib.contextmanager
def bias_gradients_as_sums() -> Iterator[None]:
    """Inside the block, the gradient of a bias is traced as a sum, with the same values.

    oneDNN merges TensorFlow's own operation for it with the gradient of the kernel of the same convolution. Where a
    gradient of a gradient lets the second depend on the first, that makes a circle in the graph, which cannot be run.
    """
    operations = importlib.import_module("tensorflow.python.ops.gen_nn_ops")
    original = operations.bias_add_grad

    def bias_add_grad(out_backprop, data_format="NHWC", name=None):
        axes = list(range(out_backprop.shape.rank))
        del axes[1 if data_format in ("NCHW", b"NCHW") else -1]
        return tf.reduce_sum(out_backprop, axes, name=name)

    operations.bias_add_grad = bias_add_grad
    try:
        yield
    finally:
        operations.bias_add_grad = original


def start_fit_at_step(model: keras.Model, step: int) -> None:
    """Makes the running `fit` start its first epoch at `step`, by the hook that Keras's BackupAndRestore uses."""

    def counters(steps_per_epoch: int, initial_epoch: int) -> tuple[int, int]:
        del model._maybe_load_initial_counters_from_ckpt  # the next `fit` starts at step 0 again
        return initial_epoch, step

    model._maybe_load_initial_counters_from_ckpt = counters


def steps_at_once(model: keras.Model) -> int:
    """How many steps `fit` makes between two calls of its callbacks: `steps_per_execution` of `compile`."""
    number = getattr(model, "_steps_per_execution", None)
    return 1 if number is None else int(number.numpy())


def require_graph_model(model: object) -> None:
    """Raises `TostError`, with advice, unless `model` is a functional or Sequential tf_keras model."""
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


def graph_nodes(model: keras.Model) -> list:
    """The calls of layers in `model`'s graph, without inputs, each after those it depends on."""
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def call_arguments(node, tensors: dict[str, tf.Tensor]) -> tuple[tuple, dict]:
    """The positional and keyword arguments of a node's call, with its input tensors replaced.

    Args:
      node: one of `graph_nodes`.
      tensors: a tensor for each of `node.flat_input_ids`.
    """
    # The node removes tensors from lists, one for each use.
    return node.map_arguments({key: [tensors[key]] * node.flat_input_ids.count(key) for key in node.flat_input_ids})


def call_of(tensor: tf.Tensor) -> object:
    """The call of a layer that returned a symbolic tensor: a node as in `graph_nodes`."""
    history = tensor._keras_history
    return history.layer._inbound_nodes[history.node_index]


def layer_of(tensor: tf.Tensor) -> keras.layers.Layer:
    """The layer that returned a symbolic tensor."""
    return tensor._keras_history.layer


def output_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layer that returns each output of a graph model."""
    return list(model._output_layers)


def layers_in_row(model: keras.Sequential) -> list[keras.layers.Layer]:
    """The layers a Sequential model was made of, in order, with its `InputLayer` if it has one.

    Layers of losses and metrics that were added as tensors, which Keras stores with them, are left out.
    """
    beside = {id(node.layer) for depth, nodes in model._nodes_by_depth.items() if depth < 0 for node in nodes}
    return [layer for layer in model._flatten_layers(include_self=False, recursive=False) if id(layer) not in beside]


def training_argument(node) -> tuple[bool, object]:
    """Whether a node's call has the argument `training`, by name or by position, and its value."""
    specification = node.layer._call_spec
    if not specification.arg_was_passed("training", node.call_args, node.call_kwargs, inputs_in_args=True):
        return False, None
    return True, specification.get_arg_value("training", node.call_args, node.call_kwargs, inputs_in_args=True)


def with_training(layer: keras.layers.Layer, training: object, arguments: tuple, keywords: dict) -> tuple:
    """The arguments of a call with `training` set; unchanged if `layer` (for example an operation) does not take it."""
    if is_operation(layer) or not layer._call_spec.expects_training_arg:
        return arguments, keywords
    return layer._call_spec.set_arg_value("training", training, arguments, dict(keywords), inputs_in_args=True)


def is_operation(layer: keras.layers.Layer) -> bool:
    """Whether `layer` is a TensorFlow operation called on symbolic tensors, such as `tf.nn.relu(x)` or `x + y`."""
    return hasattr(layer, "symbol")


def keras_mask(tensor: tf.Tensor) -> object:
    """The Keras mask of a tensor, or `None`."""
    return getattr(tensor, "_keras_mask", None)


def include_calls(model: keras.Model, tensors: list[tf.Tensor]) -> None:
    """Makes the calls that returned `tensors` part of a graph model, even if no output needs them.

    Losses and metrics that were added as symbolic tensors (`model.add_loss(tensor)`) are such calls.
    """
    known = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    nodes = {id(node): node for node in map(call_of, tensors) if id(node) not in known and not node.is_input}
    if nodes:
        model._insert_layers([node.layer for node in nodes.values()], list(nodes.values()))


def copy_trainable(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Gives `new` the flag `trainable` of `old` itself, whatever the layers around and inside it have."""
    new._trainable = old._trainable


def clear_symbolic_losses(layer: keras.layers.Layer) -> None:
    """Removes the penalties that `layer` recorded when a model was built with it.

    If a call of the layer adds no penalty, Keras falls back to them, although their graph no longer exists.
    """
    layer._losses.clear()


def losses_of_calls(model: keras.Model) -> list[tf.Tensor]:
    """The losses that the layers of `model` added in their last call in a graph."""
    return [loss for layer in model._flatten_layers() for loss in layer._eager_losses]


def losses_of_weights(model: keras.Model) -> list[tf.Tensor]:
    """The penalties on the weights of `model`, computed now."""
    penalties = [penalty() for layer in model._flatten_layers() for penalty in layer._callable_losses]
    return [loss for loss in penalties if loss is not None]


def rename(layer: keras.layers.Layer, name: str) -> None:
    """Gives a layer another name before it is called."""
    layer._name = name


def added_functions(model: keras.Model) -> list:
    """The losses of a graph model that were added as functions (`model.add_loss(lambda: ...)`)."""
    return list(model._callable_losses)


def takes_functional_arguments(kind: type) -> bool:
    """Whether models of a class are made from `(inputs, outputs, name=...)`, as with `keras.Model`."""
    return importlib.import_module("tf_keras.src.engine.functional").has_functional_like_constructor(kind)


def own_steps(model: keras.Model) -> list[str]:
    """The methods for the steps of `fit`, `evaluate` and `predict` that the class of `model` overrides."""
    names = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")
    return [name for name in names if getattr(type(model), name) is not getattr(keras.Model, name)]


def variable_key(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> str:
    """The key of a variable in a Keras optimizer; it is the same for the copies of a variable on several devices."""
    return optimizer._var_key(variable)


def variable_index(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> int | None:
    """The index of a variable in the list a Keras optimizer was built for, `None` if it is not in the list."""
    return optimizer._index_dict.get(optimizer._var_key(variable))


def slot_lists(optimizer: keras.optimizers.Optimizer) -> list[list[tf.Variable]]:
    """The lists in which a Keras optimizer keeps state, one place for each variable it was built for."""
    lists = (value for value in vars(optimizer).values() if isinstance(value, list | tuple))
    count = len(optimizer._index_dict)
    return [
        list(value)
        for value in lists
        if len(value) == count
        and value is not optimizer._variables
        and all(slot is None or isinstance(slot, tf.Variable) for slot in value)
    ]


def legacy_slots(optimizer: keras.optimizers.legacy.Optimizer, variable: tf.Variable) -> list[tf.Variable]:
    """The state of an optimizer of the legacy kind for `variable`, as far as there is some yet."""
    slots = optimizer._slots.get(optimizer_key(variable), {})
    return [slots[name] for name in optimizer.get_slot_names() if name in slots]


def build_legacy(optimizer: keras.optimizers.legacy.Optimizer, variables: list[tf.Variable]) -> None:
    """Makes the state of an optimizer of the legacy kind."""
    optimizer._create_all_weights(variables)


def gradients_by(
    optimizer: keras.optimizers.Optimizer, loss: tf.Tensor, variables: list[tf.Variable], tape: tf.GradientTape
) -> list[tuple[tf.Tensor | None, tf.Variable]]:
    """The gradients as an optimizer takes them, scaled losses taken into account; it may be of the legacy kind."""
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        return optimizer._compute_gradients(loss, variables, tape=tape)
    return optimizer.compute_gradients(loss, variables, tape=tape)


def optimizer_key(variable: tf.Variable) -> str:
    """By what an optimizer of the legacy kind knows a variable."""
    return importlib.import_module("tf_keras.src.optimizers.legacy.optimizer_v2")._var_key(variable)


def build_optimizer(optimizer: keras.optimizers.Optimizer, variables: list[tf.Variable]) -> None:
    """Makes the state of an optimizer for all these variables, unless it has its state already."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(inner, keras.optimizers.Optimizer) and not getattr(inner, "_built", False):
        optimizer.build(variables)


def serialized(layer: keras.layers.Layer) -> dict[str, Any]:
    """The config of a layer in another's, by whose words for the class all formats of Keras find it."""
    config = keras.layers.serialize(layer)
    return config | {"class_name": config.get("registered_name") or config["class_name"]}


def config_of_part(model: keras.Model, part: keras.Model) -> dict[str, Any]:
    """What a config of `model` holds of a graph model that is a part of it: in older words in an HDF5 file."""
    if not getattr(model, "use_legacy_config", False):  # Keras sets it while it writes such a file
        return keras.layers.serialize(part)
    part.use_legacy_config = True
    try:
        return keras.layers.serialize(part, use_legacy_format=True)
    finally:
        del part.use_legacy_config


def save_hdf5(model: keras.Model, path: str, overwrite: bool = True, include_optimizer: bool = True) -> None:
    """Writes a whole model into an HDF5 file, also one whose class has a config and is no graph."""
    utilities = importlib.import_module("tf_keras.src.saving.legacy.saving_utils")
    utilities.try_build_compiled_arguments(model)
    importlib.import_module("tf_keras.src.saving.legacy.hdf5_format").save_model_to_hdf5(
        model, path, overwrite, include_optimizer
    )


def recurrent_cells() -> tuple[type, ...]:
    """The classes of Keras's recurrent cells, including convolutional ones."""
    convolutional = importlib.import_module("tf_keras.src.layers.rnn.base_conv_lstm").ConvLSTMCell
    return keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell, convolutional


def attention_parts(layer: keras.layers.MultiHeadAttention) -> dict[str, keras.layers.Layer]:
    """The layers with the kernels of an attention layer, by name; empty before `make_attention_parts`."""
    if not layer._built_from_signature:
        return {}
    parts = (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
    return {part.name: part for part in parts}


def make_attention_parts(layer: keras.layers.MultiHeadAttention, shapes: dict[str, tf.TensorShape]) -> None:
    """Creates the layers in an attention layer, still without weights, for shapes of query, value and key."""
    layer._build_from_signature(**{name: shapes[name] for name in ("query", "value", "key") if name in shapes})


def called_like(wrapper: keras.layers.Wrapper) -> None:
    """Makes Keras treat the arguments of the wrapped layer's `call` as those of the wrapper's."""
    wrapper._call_spec = wrapper.layer._call_spec


def shapes_by_argument(layer: keras.layers.Layer, arguments: tuple, keywords: dict) -> dict[str, tf.TensorShape]:
    """The shapes of the tensors with which a layer is called, by the names of its arguments."""
    named = dict(zip(layer._call_spec.arg_names, arguments, strict=False)) | keywords
    return {name: value.shape for name, value in named.items() if hasattr(value, "shape")}
