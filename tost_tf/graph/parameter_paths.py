"""Names of the parameters of a model."""

from __future__ import annotations

from collections.abc import Iterator

from tost_tf.compat import keras, tf
from tost_tf.graph.copy import unwrapped_layer
from tost_tf.graph.kernels import prunable_weights, walk


def parameter_paths(model: keras.Model) -> dict[str, tf.Variable]:
    """Path ("stage1_block1_bn1/gamma") -> variable, for all trainable weights, in the order of the layers.

    A path is the names of the nested models, the layer and the weight, joined by "/". It is the same with and without
    pruning wrappers; kernels have the same paths as in masks. Further weights with the same path are numbered:
    "layer/weight #2".

    Args:
      model: a functional or Sequential tf_keras model.
    """
    paths = {id(kernel): path for path, kernel in prunable_weights(model).items()}
    taken = dict.fromkeys(paths.values(), 1)
    for path, variable in _named(model):
        if id(variable) not in paths:
            taken[path] = taken.get(path, 0) + 1
            paths[id(variable)] = path if taken[path] == 1 else f"{path} #{taken[path]}"
    return {paths[id(variable)]: variable for variable in model.trainable_weights}


def _named(model: keras.Model) -> Iterator[tuple[str, tf.Variable]]:
    for path, layer in walk(model):
        inner = unwrapped_layer(layer)
        for variable in inner.trainable_weights:
            yield f"{path}/{_name_in(inner, variable)}", variable


def _name_in(layer: keras.layers.Layer, variable: tf.Variable) -> str:
    """The variable's name within a layer, with the names of the parts it is in: "query/kernel"."""
    names = variable.name.removesuffix(":0").split("/")
    return "/".join(names[names.index(layer.name) + 1 :]) if layer.name in names[:-1] else names[-1]
