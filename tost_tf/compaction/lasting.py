"""Which channels a mask leaves dead as long as it stays, however the weights are trained."""

from __future__ import annotations

import dataclasses

import numpy as np

from tost_tf.compaction.fill import block_of
from tost_tf.compaction.graph import Graph
from tost_tf.compaction.plan import Plan
from tost_tf.compat import keras, tf
from tost_tf.compat.tfmot import is_pruning_wrapper
from tost_tf.graph.copy import copy_layer, unwrapped_layer
from tost_tf.graph.kernels import walk
from tost_tf.graph.rebuild import rebuild

RELUS = (keras.activations.relu, tf.nn.relu, tf.nn.relu6)
SYMBOLS = ("nn.relu", "nn.relu6")
SHIFTS = ("bias", "beta")


@dataclasses.dataclass(frozen=True)
class LastingPlan:
    """What stays of a sparse model while it is trained with a fixed mask: all that any later weights can make use of.

    A channel goes if no kept weight reads it, or if it stays zero: no kept weight feeds it, and the bias or
    BatchNormalization's β that would be added is exactly zero and read by ReLUs only, whose derivative at zero is zero:
    no gradient ever reaches it. A channel that is another constant stays, since the constant is trained.

    Attributes:
      plan: of a plain copy of the model.
      weights: id of a weight of the copy -> the weight of the model.
      masks: id of a weight of the model -> its mask.
    """

    plan: Plan
    weights: dict[int, tf.Variable]
    masks: dict[int, np.ndarray]


def lasting_plan(model: keras.Model) -> LastingPlan:
    """The plan for a model made by `sparsify`, as its weights are now; with other masks it is another one.

    Channels that fill up a block (see `block_of`) stay although they could go.
    """
    graph = Graph(rebuild(model, lambda layer: copy_layer(unwrapped_layer(layer))))
    layers = list(zip(walk(model), walk(graph.source), strict=True))
    weights, masks = {}, {}
    for (_, layer), (_, copy) in layers:
        pairs = zip(unwrapped_layer(layer).weights, copy.weights, strict=True)
        weights |= {id(new): weight for weight, new in pairs}
        if is_pruning_wrapper(layer):
            masks |= {id(weight): mask.numpy() for weight, mask, _ in layer.pruning_vars}
    at_zero = _layers_that_stay_at_zero(graph)
    for (_, _), (_, copy) in layers:
        shifts = [getattr(copy, name, None) for name in SHIFTS]
        for weight in copy.weights:
            _forget(weight, masks.get(id(weights[id(weight)])), any(weight is shift for shift in shifts), copy, at_zero)
    return LastingPlan(Plan(graph, only_zeros=True, multiple=block_of(model)), weights, masks)


def _forget(
    weight: tf.Variable, mask: np.ndarray | None, is_shift: bool, layer: keras.layers.Layer, at_zero: set[int]
) -> None:
    """Leaves in a weight of the copy only what lasts: NaN is a shift that may become anything, 1 another number."""
    if not weight.trainable:
        return  # statistics
    if not is_shift:
        weight.assign(np.ones(weight.shape) if mask is None else mask)
    elif id(layer) in at_zero:
        weight.assign(np.where(weight.numpy() == 0, 0.0, np.nan))
    else:
        weight.assign(np.full(weight.shape, np.nan))


def _layers_that_stay_at_zero(graph: Graph) -> set[int]:
    """The ids of layers that give zeros no gradient: they are read by ReLUs only, or end in one."""
    readers: dict[str, list[keras.layers.Layer]] = {key: [] for key in graph.outputs}
    for call in graph.calls:
        for key in call.inputs:
            readers.setdefault(key, []).append(call.layer)
    stay: dict[int, bool] = {}
    for call in graph.calls:
        own = getattr(call.layer, "activation", None)
        read = [layer for key in call.outputs for layer in readers.get(key, ())]
        only_relus = bool(read) and all(map(_is_relu, read)) and not {*call.outputs} & {*graph.outputs}
        is_linear = own in (None, keras.activations.linear)
        holds = own in RELUS or (is_linear and only_relus)
        stay[id(call.layer)] = stay.get(id(call.layer), True) and holds
    return {layer for layer, holds in stay.items() if holds}


def _is_relu(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a ReLU, zero and without derivative at zero."""
    if type(layer) is keras.layers.ReLU:
        return not (layer.negative_slope or layer.threshold)
    if type(layer) is keras.layers.Activation:
        return layer.activation in RELUS
    return getattr(layer, "symbol", None) in SYMBOLS
