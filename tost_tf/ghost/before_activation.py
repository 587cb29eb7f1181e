"""A layer without its activation."""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.compat.losses import clear_symbolic_losses
from tost_tf.compat.saving import serialized
from tost_tf.graph.copy import unwrapped_layer


@keras.utils.register_keras_serializable("tost_tf")
class BeforeActivation(keras.layers.Layer):
    """A layer called without its activation, and without the penalty on the activation's output.

    It holds the layer itself, so the weights are the same.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.supports_masking = layer.supports_masking
        clear_symbolic_losses(unwrapped_layer(layer))

    def call(self, inputs):
        inner = unwrapped_layer(self.layer)
        activation, regularizer = inner.activation, inner.activity_regularizer
        inner.activation, inner.activity_regularizer = keras.activations.linear, None
        try:
            return self.layer(inputs)
        finally:
            inner.activation, inner.activity_regularizer = activation, regularizer

    def get_config(self):
        return super().get_config() | {"layer": serialized(self.layer)}

    @classmethod
    def from_config(cls, config):
        return cls(**(config | {"layer": keras.layers.deserialize(config["layer"])}))
