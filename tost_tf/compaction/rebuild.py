"""Builds the smaller model that a plan describes."""

from __future__ import annotations

import numpy as np

from tost_tf.compaction.graph import with_output_names
from tost_tf.compaction.plan import Plan
from tost_tf.compaction.rule import Rule
from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import is_graph_model, output_layers
from tost_tf.graph.calls import Call
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.rebuild import Replay, Tensors, rebuild


def rebuilt(plan: Plan) -> keras.Model:
    """A functional model of the layers that stay, with their names and the kept part of their weights.

    Its inputs and outputs have the names, shapes and structure of those of the original model.
    """
    return rebuilt_with_layers(plan)[0]


def rebuilt_with_layers(plan: Plan) -> tuple[keras.Model, list[tuple[Rule, keras.layers.Layer]]]:
    """As `rebuilt`, and the rule of a call of each layer that stays, with the new layer."""
    model = plan.graph.model
    smaller = _Smaller(plan)
    new = smaller.model(model)
    smaller.set_weights()
    layers = [(rule, smaller.by_layer[id(rule.layer)]) for rule in smaller.first_rules]
    return with_output_names(new, [layer.name for layer in output_layers(model)]), layers


class _Smaller(Replay):
    """Repeats the calls that stay, by their rules, with smaller layers."""

    def __init__(self, plan: Plan):
        super().__init__()
        self._plan = plan
        self._rules = {rule.call.outputs[0]: rule for rule in plan.used_rules}
        self._weights: list[tuple[keras.layers.Layer, list[np.ndarray]]] = []
        self.by_layer: dict[int, keras.layers.Layer] = {}
        self.first_rules: list[Rule] = []  # of the first call of each layer
        self._names = {layer.name for layer in plan.graph.model.layers}

    def call(self, call: Call, tensors: Tensors) -> tf.Tensor | list[tf.Tensor] | None:
        rule, plan = self._rules.get(call.outputs[0]), self._plan
        if rule is None:
            return None
        used = rule.used([plan.kept(tensor) for tensor in rule.inputs])
        given = [tensors[tensor.key] if index in used else None for index, tensor in enumerate(rule.inputs)]
        outputs = rule.apply(self._smaller_layer(rule), given)
        added = rule.added(plan.constants(rule), plan.kept(rule.outputs[0]))
        if np.any(added):
            return _shifted(outputs, added, _fresh_name(f"{rule.layer.name}_constant", self._names))
        return outputs

    def _smaller_layer(self, rule: Rule) -> keras.layers.Layer:
        if id(rule.layer) not in self.by_layer:
            layer, weights = _smaller_layer(rule, self._plan)
            self.by_layer[id(rule.layer)] = layer
            self.first_rules.append(rule)
            self._weights.append((layer, weights))
        return self.by_layer[id(rule.layer)]

    def set_weights(self) -> None:
        """Sets the weights of the layers, which must be built by then."""
        for layer, weights in self._weights:
            layer.set_weights(weights)


def _smaller_layer(rule: Rule, plan: Plan) -> tuple[keras.layers.Layer, list[np.ndarray]]:
    """A new layer, and the weights to set once it is built."""
    kept_in = [plan.kept(tensor) for tensor in rule.inputs]
    options, weights = rule.resized(plan.agreed_constants(rule), kept_in, plan.kept(rule.outputs[0]))
    if is_graph_model(rule.layer):
        return rebuild(rule.layer, copy_layer), weights
    # An initializer may hold an array of the old size. All weights are set later, so zeros will do.
    if [weight.shape for weight in weights] != [np.shape(weight) for weight in rule.layer.get_weights()]:
        options |= {key: "zeros" for key in rule.layer.get_config() if key.endswith("_initializer")}
    layer = copy_layer(rule.layer, **options)
    layer.trainable = rule.layer.trainable
    return layer, weights


def _shifted(x: tf.Tensor, added: np.ndarray, name: str) -> tf.Tensor:
    """`x` plus a number for each channel, by a layer that every format knows; frozen, so statistics stay."""
    layer = keras.layers.BatchNormalization(scale=False, trainable=False, name=name, dtype=x.dtype)
    result = layer(x)
    layer.set_weights([added, np.zeros(added.size), np.full(added.size, 1.0 - layer.epsilon)])
    return result


def _fresh_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
