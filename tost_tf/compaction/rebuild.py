"""The smaller model a plan describes."""

import numpy as np

from tost_tf.compaction.graph import output_layer_names, same_input, with_output_names
from tost_tf.compaction.plan import Plan
from tost_tf.compaction.rule import Rule
from tost_tf.compat import is_graph_model, keras, tf
from tost_tf.models.copy import copy_graph, copy_layer


def rebuilt(plan: Plan) -> keras.Model:
    """A functional model with the layers that stay, their names and what is kept of their weights.

    Its inputs and outputs have the names, shapes and structure of the model's of the plan.
    """
    model = plan.graph.model
    inputs = tf.nest.map_structure(same_input, model.input)
    tensors: dict[str, tf.Tensor] = dict(zip(plan.graph.inputs, tf.nest.flatten(inputs), strict=True))
    smaller: dict[int, tuple[keras.layers.Layer, list[np.ndarray]]] = {}
    names = {layer.name for layer in model.layers}
    for rule in plan.used_rules:
        if id(rule.layer) not in smaller:
            smaller[id(rule.layer)] = _smaller_layer(rule, plan)
        used = rule.used([plan.kept(tensor) for tensor in rule.inputs])
        given = [tensors[tensor.key] if index in used else None for index, tensor in enumerate(rule.inputs)]
        outputs = rule.apply(smaller[id(rule.layer)][0], given)
        added = rule.added(plan.constants(rule), plan.kept(rule.outputs[0]))
        if np.any(added):
            outputs = _shifted(outputs, added, _fresh_name(f"{rule.layer.name}_constant", names))
        tensors |= dict(zip(rule.call.outputs, tf.nest.flatten(outputs), strict=True))
    outputs = tf.nest.pack_sequence_as(model.output, [tensors[key] for key in plan.graph.outputs])
    for layer, weights in smaller.values():
        layer.set_weights(weights)
    return with_output_names(keras.Model(inputs, outputs, name=model.name), output_layer_names(model))


def _smaller_layer(rule: Rule, plan: Plan) -> tuple[keras.layers.Layer, list[np.ndarray]]:
    """A fresh layer, and the weights for it once it is built."""
    kept_in = [plan.kept(tensor) for tensor in rule.inputs]
    options, weights = rule.resized(plan.agreed_constants(rule), kept_in, plan.kept(rule.outputs[0]))
    if is_graph_model(rule.layer):
        return copy_graph(rule.layer, copy_layer), weights
    # What weights start from may hold an array of the old size. They are all set.
    if [weight.shape for weight in weights] != [tuple(weight.shape) for weight in rule.layer.weights]:
        options |= {key: "zeros" for key in rule.layer.get_config() if key.endswith("_initializer")}
    layer = copy_layer(rule.layer, **options)
    layer.trainable = rule.layer.trainable
    return layer, weights


def _shifted(x: tf.Tensor, added: np.ndarray, name: str) -> tf.Tensor:
    """`x` plus a number for each channel, by a layer every format knows. Frozen, so that it never counts anything."""
    layer = keras.layers.BatchNormalization(scale=False, trainable=False, name=name, dtype=x.dtype)
    result = layer(x)
    layer.set_weights([added, np.zeros(added.size), np.full(added.size, 1.0 - layer.epsilon)])
    return result


def _fresh_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
