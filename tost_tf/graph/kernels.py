"""Which weights of a model can be pruned, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import require_graph_model
from tost_tf.compat.tfmot import is_pruning_wrapper
from tost_tf.errors import TostError
from tost_tf.graph.copy import graph_model_in, unwrapped_layer
from tost_tf.graph.kernel_kinds.kind import Kernel, KernelKind
from tost_tf.ranges import require_expression
from tost_tf.registry import KERNEL_KINDS


def kind_of(layer: keras.layers.Layer) -> KernelKind | None:
    """Where a layer's class holds kernels, `None` if it has none that can be pruned."""
    return next((kind for kind in KERNEL_KINDS.values() if isinstance(layer, tuple(kind.classes))), None)


def is_prunable(layer: keras.layers.Layer) -> bool:
    """Whether a layer, built or not, has prunable kernels."""
    kind = kind_of(layer)
    if kind is None:
        return False
    return bool(kind.kernels(layer)) or kind.build is not None or any(map(is_prunable, kind.parts(layer).values()))


def kernels_in(layer: keras.layers.Layer) -> list[Kernel]:
    """The prunable kernels of a layer (not a pruning wrapper), including those of the layers in it.

    Biases and BatchNormalization are never pruned. Attention layers have none before they are built.
    """
    kind = kind_of(layer)
    if kind is None:
        return []
    found = [Kernel(attribute, layer, attribute, axes) for attribute, axes in kind.kernels(layer).items()]
    for name, part in kind.parts(layer).items():
        prefix = f"{name}/" if name else ""
        found += [Kernel(prefix + inner.name, inner.holder, inner.attribute, inner.axes) for inner in kernels_in(part)]
    return found


def walk(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers of `model` with their paths, in order, those of nested models in the place of the model; each once.

    For a wrapped layer the wrapper is returned, with the path of the layer inside. A path is the names of the nested
    models and of the layer, joined by "/". A model that is called at each step of a sequence counts as nested, with the
    name of the layer that calls it.
    """
    seen: set[int] = set()

    def below(network: keras.Model, prefix: str) -> Iterator[tuple[str, keras.layers.Layer]]:
        for layer in network.layers:
            inner = unwrapped_layer(layer)
            nested = graph_model_in(inner)
            if id(nested or inner) in seen:
                continue
            seen.add(id(nested or inner))
            if nested is not None:
                yield from below(nested, f"{prefix}{inner.name}/")
            else:
                yield prefix + inner.name, layer

    require_graph_model(model)
    yield from below(model, "")


def prunable_layers(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers of `model` with prunable kernels, as `walk` gives them."""
    return ((path, layer) for path, layer in walk(model) if kernels_in(unwrapped_layer(layer)))


def prunable_kernels(model: keras.Model) -> dict[str, Kernel]:
    """Weight path ("stage1_block1_conv1/kernel") -> kernel, for all prunable weights, in the order of the layers.

    Raises:
      TostError: `model` is not a functional or Sequential tf_keras model.
    """
    layers = ((path, unwrapped_layer(layer)) for path, layer in walk(model))
    return {f"{path}/{kernel.name}": kernel for path, layer in layers for kernel in kernels_in(layer)}


def prunable_weights(model: keras.Model) -> dict[str, tf.Variable]:
    """Weight path -> variable, as `prunable_kernels`."""
    return {path: kernel.variable for path, kernel in prunable_kernels(model).items()}


def is_ranked(layer_path: str, dense_layers: str) -> bool:
    """Whether a layer's weights are ranked and count for the sparsity: its path does not match `dense_layers`."""
    if not dense_layers:
        return True
    require_expression("dense_layers", dense_layers)
    return not re.search(dense_layers, layer_path)


def ranked_weights(model: keras.Model, dense_layers: str) -> dict[str, tf.Variable]:
    """The prunable weights of `model` that are ranked. Raises `TostError` if there are none."""
    weights = prunable_weights(model)
    if dense_layers and all(is_ranked(path.rpartition("/")[0], dense_layers) for path in weights):
        raise TostError(
            f"dense_layers={dense_layers!r} matches no layer of {model.name} that could be pruned: leave it "
            f"out, or name some of {', '.join(sorted({path.rpartition('/')[0] for path in weights}))}"[:480]
        )
    ranked = {path: weight for path, weight in weights.items() if is_ranked(path.rpartition("/")[0], dense_layers)}
    if not ranked:
        raise TostError(f"{model.name} has no weight to prune besides those left dense")
    return ranked


def current_masks(model: keras.Model) -> dict[str, np.ndarray]:
    """Weight path -> the 0/1 mask of the pruning wrapper around it, for the weights that have one."""
    masks = {
        id(weight): mask
        for _, layer in walk(model)
        if is_pruning_wrapper(layer)
        for weight, mask, _ in layer.pruning_vars
    }
    return {path: masks[id(w)].numpy() for path, w in prunable_weights(model).items() if id(w) in masks}


def masked(model: keras.Model) -> str:
    """How many kernels of `model` pruning wrappers mask, and how sparse they are together."""
    masks = current_masks(model)
    if not masks:
        return "no kernel masked"
    zeros = 1 - sum(float(mask.sum()) for mask in masks.values()) / sum(mask.size for mask in masks.values())
    return f"{len(masks)} kernels masked, sparsity {zeros:.4f}"
