"""Where a forward pass stops being finite."""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import is_graph_model
from tost_tf.compat.layers import variables_of
from tost_tf.errors import NotFinite
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.graph.parameter_paths import parameter_paths
from tost_tf.graph.replaced_calls import Call, calls_replaced


def first_not_finite(model: keras.Model, images: tf.Tensor) -> str:
    """The first values with NaN or infinity when `model` is called in training mode, "" if all are finite.

    Args:
      model: a functional or Sequential tf_keras model, or a view of a `GhostModel`; its statistics are restored.
      images: preprocessed for the model.

    Returns:
      "the images", "the weight PATH" or "the output of the layer NAME".
    """
    if not _all_finite(images):
        return "the images"
    for path, variable in parameter_paths(model).items():
        if not _all_finite(variable):
            return f"the weight {path}"
    found: list[str] = []

    def watched(layer: keras.layers.Layer, call: Call) -> Call:
        def watch(*args, **kwargs):
            outputs = call(*args, **kwargs)
            # In a graph that a layer traces itself there are no values yet; then the output of that layer is checked.
            if tf.executing_eagerly() and not found and not _all_finite(outputs):
                found.append(f"the output of the layer {layer.name}")
            return outputs

        return watch

    layers = [part for part in model.submodules if isinstance(part, keras.layers.Layer) and not is_graph_model(part)]
    with statistics_kept(model), calls_replaced(layers, watched):
        model(images, training=True)
    return found[0] if found else ""


def require_finite_weights(model: keras.Model) -> None:
    """Raises `NotFinite`, naming it, if a weight of `model` is NaN or infinite."""
    for weight in variables_of(model):
        if not _all_finite(weight):
            raise NotFinite(f"{weight.name.split(':')[0]} of {model.name} has values that are not finite")


def _all_finite(values: tf.Tensor | list[tf.Tensor]) -> bool:
    tensors = [tf.convert_to_tensor(value) for value in tf.nest.flatten(values)]
    return all(bool(tf.reduce_all(tf.math.is_finite(tensor))) for tensor in tensors if tensor.dtype.is_floating)
