"""Where ghost skips are added: around which convolutions, and to what."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

from tost_tf.compat import keras
from tost_tf.ghost.relus import CONVOLUTIONS, WEIGHTED, has_activation
from tost_tf.graph.calls import Call, calls, keys
from tost_tf.graph.copy import graph_model_in, unwrapped_layer

TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)


@dataclasses.dataclass(frozen=True)
class SkipPlace:
    """Where a skip is added: the convolution it bypasses, and the key of the tensor the convolution reads."""

    convolution: keras.layers.Layer
    source: str


def skip_places(model: keras.Model) -> dict[str, SkipPlace]:
    """Key of a tensor (of `model` or a model nested in it) -> the skip that is added to it."""
    places: dict[str, SkipPlace] = {}
    seen: set[int] = set()

    def walk(network: keras.Model, past_weights: set[str]) -> None:
        """`past_weights`: the inputs that are computed by layers with weights."""
        seen.add(id(network))
        network_calls = calls(network)
        readers = defaultdict(list)
        for call in network_calls:
            for key in call.inputs:
                readers[key].append(call)
        for call in network_calls:
            is_past = not past_weights.isdisjoint(call.inputs)
            own = unwrapped_layer(call.layer)
            nested = graph_model_in(own)
            if nested is not None and id(nested) not in seen:
                pairs = zip(keys(nested.inputs), call.inputs, strict=True)
                walk(nested, {inner for inner, outer in pairs if outer in past_weights})
            elif is_past and is_spatial(own):
                place = _place(call, own, readers[call.outputs[0]], keys(network.outputs))
                places[place] = SkipPlace(own, call.inputs[0])
            parts = (own, *own.submodules)
            if is_past or any(isinstance(part, WEIGHTED) for part in parts):
                past_weights |= set(call.outputs)

    walk(model, set())
    return places


def _place(call: Call, convolution: keras.layers.Layer, readers: list[Call], model_outputs: list[str]) -> str:
    """The tensor a skip is added to: the convolution's output, or that of a BatchNormalization that alone reads it."""
    output = call.outputs[0]
    normalised = len(readers) == 1 and isinstance(readers[0].layer, keras.layers.BatchNormalization)
    if normalised and output not in model_outputs and not has_activation(convolution):
        return readers[0].outputs[0]
    return output


def is_spatial(layer: keras.layers.Layer) -> bool:
    """Whether `layer` is a convolution that reads more than one position of its input."""
    return isinstance(layer, CONVOLUTIONS) and not isinstance(layer, TRANSPOSED) and max(layer.kernel_size) > 1
