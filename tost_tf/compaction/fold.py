"""Takes BatchNormalization into the layers before it, for inference: fewer operations, the same outputs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tost_tf.compaction.graph import Graph, with_output_names
from tost_tf.compaction.pointwise import Normalization
from tost_tf.compaction.rules import rules_of
from tost_tf.compaction.weighted import Depthwise, Weighted
from tost_tf.compat import keras
from tost_tf.compat.graphs import output_layers
from tost_tf.graph.calls import Call
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.rebuild import Replay, Tensors


def folded(graph: Graph) -> keras.Model:
    """A model that computes the same in inference, without each BatchNormalization that only scales and shifts what one
    convolution or Dense layer gives: that layer's kernel and bias take both in. The layers that stay are those of
    `graph`; a layer called more than once stays as it is."""
    replay = _Folded(graph)
    new = replay.model(graph.model)
    replay.set_weights()
    return with_output_names(new, [layer.name for layer in output_layers(graph.model)])


class _Folded(Replay):
    """Repeats the calls, without those of normalisations that are taken in."""

    def __init__(self, graph: Graph):
        super().__init__()
        self._norms = _norms_by_input(graph)
        self._weights: list[tuple[keras.layers.Layer, list[np.ndarray]]] = []

    def call(self, call: Call, tensors: Tensors) -> Any:
        if call.inputs[0] in self._norms:
            return tensors[call.inputs[0]]
        norm = self._norms.get(call.outputs[0])
        if norm is None:
            return super().call(call, tensors)
        layer = copy_layer(call.layer, use_bias=True)
        arguments, keywords = call.arguments(tensors)
        self._weights.append((layer, _taken_in(call.layer, norm)))
        return layer(*arguments, **keywords)

    def set_weights(self) -> None:
        """Sets the weights of the layers, which are built by then."""
        for layer, weights in self._weights:
            layer.set_weights(weights)


def _norms_by_input(graph: Graph) -> dict[str, keras.layers.Layer]:
    """The normalisations that can be taken in, by the key of the one tensor they take."""
    rules = rules_of(graph)
    calls_of = Counter(id(rule.layer) for rule in rules)
    reads = Counter(key for rule in rules for key in rule.call.inputs) + Counter(graph.outputs)
    # The rules of kernels whose output channels can be scaled; Separable is a Weighted with two kernels.
    writers = {
        rule.call.outputs[0]
        for rule in rules
        if isinstance(rule, (Weighted, Depthwise))
        and not hasattr(rule.layer, "pointwise_kernel")
        and calls_of[id(rule.layer)] == 1
        and rule.layer.activation in (None, keras.activations.linear)
    }
    return {
        rule.call.inputs[0]: rule.layer
        for rule in rules
        if isinstance(rule, Normalization)
        and calls_of[id(rule.layer)] == 1
        and rule.call.inputs[0] in writers
        and reads[rule.call.inputs[0]] == 1
    }


def _taken_in(layer: keras.layers.Layer, norm: keras.layers.Layer) -> list[np.ndarray]:
    """The kernel and the bias of a layer that also does what the normalisation does; computed in double precision."""
    kernel, *bias = (weight.astype(np.float64) for weight in layer.get_weights())
    mean, variance = (weight.numpy().astype(np.float64) for weight in (norm.moving_mean, norm.moving_variance))
    scale = (1.0 if norm.gamma is None else norm.gamma.numpy()) / np.sqrt(variance + norm.epsilon)
    shift = 0.0 if norm.beta is None else norm.beta.numpy()
    is_depthwise = hasattr(layer, "depthwise_kernel")
    by_channel = scale.reshape(kernel.shape[-2:]) if is_depthwise else scale
    return [kernel * by_channel, ((bias[0] if bias else 0.0) - mean) * scale + shift]
