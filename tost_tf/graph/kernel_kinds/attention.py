"""Multi-head attention: four layers with a kernel each, which are created when the shapes of its tensors are known."""

from __future__ import annotations

from collections.abc import Mapping

from tost_tf.compat import keras, tf
from tost_tf.compat.layers import attention_parts, make_attention_parts
from tost_tf.graph.kernel_kinds.kind import KernelKind


def _build(layer: keras.layers.MultiHeadAttention, shapes: Mapping[str, tf.TensorShape]) -> None:
    query, value = shapes["query"], shapes["value"]
    sizes = layer.get_config()
    heads = tf.TensorShape([sizes["num_heads"], sizes["value_dim"] or sizes["key_dim"]])
    inputs = (query, shapes.get("key", value), value, query[:-1].concatenate(heads))
    for (name, part), shape in zip(attention_parts(layer).items(), inputs, strict=True):
        with tf.name_scope(name):
            part.build(shape)
    layer.built = True


KIND = KernelKind(
    (keras.layers.MultiHeadAttention,), parts=attention_parts, build=_build, make_parts=make_attention_parts
)
