"""Which weights of a model can be pruned, and what they are called."""

import re
from collections.abc import Iterator

import numpy as np

from tost_tf.compat import PruneLowMagnitude, is_graph_model, keras, require_graph_model, tf
from tost_tf.errors import TostError
from tost_tf.models.copy import inside

# Layer class -> the attribute that holds its kernel. Biases and BatchNormalization are never pruned; of a separable
# convolution the pointwise kernel is, as in tensorflow-model-optimization: nearly all of its weights are there.
KERNELS = {
    keras.layers.Conv1D: "kernel",
    keras.layers.Conv2D: "kernel",
    keras.layers.Conv3D: "kernel",
    keras.layers.DepthwiseConv1D: "depthwise_kernel",
    keras.layers.DepthwiseConv2D: "depthwise_kernel",
    keras.layers.SeparableConv1D: "pointwise_kernel",
    keras.layers.SeparableConv2D: "pointwise_kernel",
    keras.layers.Dense: "kernel",
}
# Subclasses of the convolutions, with the axes of their kernels in another order.
NOT_PRUNABLE = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)


def kernel_name(layer: keras.layers.Layer) -> str | None:
    """The attribute that holds the prunable kernel of `layer`, `None` if it has none."""
    if isinstance(layer, NOT_PRUNABLE):
        return None
    return next((name for kind, name in KERNELS.items() if isinstance(layer, kind)), None)


def prunable_layers(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers of `model` with a prunable kernel, nested models included, each with its path.

    A wrapped layer is given as the wrapper, under the path of the layer inside; a path is the names of the nested
    models and of the layer with "/" between them. A layer that is called several times is given once.
    """
    seen: set[int] = set()

    def walk(network: keras.Model, prefix: str) -> Iterator[tuple[str, keras.layers.Layer]]:
        for layer in network.layers:
            inner = inside(layer)
            if id(inner) in seen:
                continue
            seen.add(id(inner))
            if is_graph_model(inner):
                yield from walk(inner, f"{prefix}{inner.name}/")
            elif kernel_name(inner):
                yield prefix + inner.name, layer

    require_graph_model(model)
    yield from walk(model, "")


def prunable_weights(model: keras.Model) -> dict[str, tf.Variable]:
    """Weight path ("stage1_block1_conv1/kernel") -> kernel, for every prunable weight in the order of the layers.

    Raises:
      TostError: `model` is not a functional or Sequential tf_keras model.
    """
    kernels = ((path, inside(layer)) for path, layer in prunable_layers(model))
    return {f"{path}/{kernel_name(layer)}": getattr(layer, kernel_name(layer)) for path, layer in kernels}


def is_ranked(layer_path: str, dense_layers: str) -> bool:
    """Whether a layer's weights are ranked, and count towards the sparsity: its path does not match `dense_layers`."""
    return not (dense_layers and re.search(dense_layers, layer_path))


def ranked_weights(model: keras.Model, dense_layers: str) -> dict[str, tf.Variable]:
    """The prunable weights of `model` that are ranked. Raises `TostError` if there are none."""
    weights = prunable_weights(model)
    ranked = {path: weight for path, weight in weights.items() if is_ranked(path.rpartition("/")[0], dense_layers)}
    if not ranked:
        raise TostError(f"{model.name} has no weight to prune besides those left dense")
    return ranked


def present_masks(model: keras.Model) -> dict[str, np.ndarray]:
    """Weight path -> the 0/1 mask of the pruning wrapper around it, for the weights that have one."""
    return {
        f"{path}/{kernel_name(inside(layer))}": layer.pruning_vars[0][1].numpy()
        for path, layer in prunable_layers(model)
        if isinstance(layer, PruneLowMagnitude)
    }
