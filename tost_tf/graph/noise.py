"""Training mode without chance."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator

from tost_tf.compat import is_graph_model, keras, tf
from tost_tf.graph.replaced_calls import Call, calls_replaced


@contextlib.contextmanager
def noise_off(model: keras.Model) -> Iterator[None]:
    """Until the block ends, a call of `model` in training mode drops nothing, adds no noise and augments no image.

    Layers that act otherwise in training are called as in inference, whatever they are asked for: dropout of any kind,
    also that of recurrent and attention layers, noise, random augmentation. Layers with statistics of their own or in
    layers they hold (variables that are not trained, as BatchNormalization has) are left alone: they use those of the
    batch where they would in training. What is traced in the block stays so; nothing of the layers is changed.

    Args:
      model: nested models, a `GhostModel`'s views and layers inside layers are seen to as well.
    """
    layers = [part for part in model.submodules if isinstance(part, keras.layers.Layer) and not is_graph_model(part)]
    quiet = [layer for layer in layers if _asks_for_training(layer) and not _has_statistics(layer)]
    # What a layer has traced before has the noise of its parts in it, and what it traces now would be without after.
    traced = [layer for layer in layers if layer not in quiet and hasattr(layer.call, "python_function")]
    with calls_replaced(quiet, _as_in_inference), calls_replaced(traced, _traced_anew):
        yield


def _asks_for_training(layer: keras.layers.Layer) -> bool:
    return "training" in inspect.signature(layer.call).parameters


def _has_statistics(layer: keras.layers.Layer) -> bool:
    # Not what a generator of random numbers holds, which is a whole number, nor weights that are frozen for a while.
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
