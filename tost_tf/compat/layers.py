"""What layers of Keras keep private."""

from __future__ import annotations

import importlib

from tost_tf.compat import keras, tf


def copy_trainable(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Gives `new` the flag `trainable` of `old` itself, whatever the layers around and inside it have."""
    new._trainable = old._trainable


def variables_of(layer: keras.layers.Layer) -> list[tf.Variable]:
    """The weights of a layer or model that are variables: Keras counts the vocabulary of a lookup layer as a weight."""
    return [weight for weight in layer.weights if hasattr(weight, "shape")]


def lookup_tables(model: keras.Model) -> list:
    """TensorFlow's tables in the lookup layers of `model` (StringLookup, IntegerLookup, TextVectorization)."""
    return [part.lookup_table for part in model.submodules if hasattr(part, "lookup_table")]


def rename(layer: keras.layers.Layer, name: str) -> None:
    """Gives a layer another name before it is called."""
    layer._name = name


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
