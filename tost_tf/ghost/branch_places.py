"""Where ghost branches can be: the convolutions and Dense layers that a BatchNormalization alone reads."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator

from tost_tf.compat import keras
from tost_tf.compat.tfmot import is_pruning_wrapper
from tost_tf.ghost.branches import channel_axis
from tost_tf.graph.calls import Call, calls, keys
from tost_tf.graph.copy import graph_model_in, unwrapped_layer
from tost_tf.masks.wrapper import FixedMask

# Layers with one kernel, in which their outputs are linear. Not subclasses, which may compute something else.
LINEAR = tuple(
    getattr(keras.layers, name)
    for name in (
        *("Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
        *("DepthwiseConv1D", "DepthwiseConv2D", "Dense"),
    )
)


@dataclasses.dataclass(frozen=True)
class BranchPlace:
    """A layer and the BatchNormalization after it, with the keys of what the layer reads and returns."""

    layer: keras.layers.Layer
    normalization: keras.layers.BatchNormalization
    source: str
    between: str


def branch_places(model: keras.Model) -> dict[str, BranchPlace]:
    """Key of what a BatchNormalization returns, in `model` or a model nested in it -> the place that ends there.

    Left alone are pairs of which one is called several times, is frozen or has an activation, BatchNormalization
    without gamma or beta, and masks of tensorflow-model-optimization, which change.
    """
    networks = list(_networks(model, set()))
    times = Counter(id(unwrapped_layer(call.layer)) for network in networks for call in calls(network))
    places = {}
    for network in networks:
        readers = defaultdict(list)
        for call in calls(network):
            for key in call.inputs:
                readers[key].append(call)
        outputs = keys(network.outputs)
        for call in calls(network):
            between = call.outputs[0]
            if between in outputs or len(readers[between]) != 1:
                continue
            reader = readers[between][0]
            once = all(times[id(unwrapped_layer(part.layer))] == 1 for part in (call, reader))
            if once and _has_one_kernel(call) and _normalizes(reader, call):
                places[reader.outputs[0]] = BranchPlace(call.layer, reader.layer, call.inputs[0], between)
    return places


def _networks(model: keras.Model, seen: set[int]) -> Iterator[keras.Model]:
    seen.add(id(model))
    yield model
    for call in calls(model):
        nested = graph_model_in(unwrapped_layer(call.layer))
        if nested is not None and id(nested) not in seen:
            yield from _networks(nested, seen)


def _has_one_kernel(call: Call) -> bool:
    layer, own = call.layer, unwrapped_layer(call.layer)
    if type(own) not in LINEAR or (is_pruning_wrapper(layer) and not isinstance(layer, FixedMask)):
        return False
    plain = own.activation in (None, keras.activations.linear) and own.activity_regularizer is None
    return plain and layer.trainable and own.trainable and not call.is_masked and len(call.inputs) == 1


def _normalizes(call: Call, before: Call) -> bool:
    layer = call.layer
    if not isinstance(layer, keras.layers.BatchNormalization) or call.training is not None or call.is_masked:
        return False
    rank = len(before.output_shapes[0])
    usual = not getattr(layer, "renorm", False) and getattr(layer, "virtual_batch_size", None) is None
    same = [axis % rank for axis in layer.axis] == [channel_axis(unwrapped_layer(before.layer), rank)]
    return usual and same and layer.center and layer.scale and layer.trainable
