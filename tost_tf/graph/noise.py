"""Training mode without randomness."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import is_graph_model
from tost_tf.graph.replaced_calls import Call, calls_replaced


@contextlib.contextmanager
def noise_off(model: keras.Model) -> Iterator[None]:
    """Inside the block, a call of `model` in training mode drops nothing, adds no noise and augments no images.

    Layers that are random in training are called in inference mode, whatever `training` says: dropout of any kind, also
    in recurrent and attention layers, noise, random augmentation. Layers with statistics (variables that are not
    trained, such as BatchNormalization's), also in layers they contain, are not changed: in training they use the
    statistics of the batch. Functions traced inside the block stay without noise; layers themselves are not changed.

    Args:
      model: nested models, the views of a `GhostModel` and layers inside layers are included.
    """
    layers = [part for part in model.submodules if isinstance(part, keras.layers.Layer) and not is_graph_model(part)]
    quiet = [layer for layer in layers if _asks_for_training(layer) and not _has_statistics(layer)]
    # Functions that a layer traced before include the noise of its parts, and those it traces now would stay without.
    traced = [layer for layer in layers if layer not in quiet and hasattr(layer.call, "python_function")]
    with calls_replaced(quiet, _as_in_inference), calls_replaced(traced, _traced_anew):
        yield


def _asks_for_training(layer: keras.layers.Layer) -> bool:
    return "training" in inspect.signature(layer.call).parameters


def _has_statistics(layer: keras.layers.Layer) -> bool:
    # Not the state of a random generator, which is an integer, and not weights that are frozen for a while.
    return any(variable.dtype.is_floating and not variable.trainable for variable in layer.variables)


def _as_in_inference(layer: keras.layers.Layer, call: Call) -> Call:
    signature = inspect.signature(call)

    def quiet(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.arguments["training"] = False
        return call(*bound.args, **bound.kwargs)

    return quiet


def _traced_anew(layer: keras.layers.Layer, call: Call) -> Call:
    return tf.function(call.python_function)
