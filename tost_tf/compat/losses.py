"""Losses: those that layers and models add, and how `fit` gives labels and outputs to them."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from tost_tf.compat import keras, tf


def clear_symbolic_losses(layer: keras.layers.Layer) -> None:
    """Removes the penalties that `layer` recorded when a model was built with it.

    If a call of the layer adds no penalty, Keras falls back to them, although their graph no longer exists.
    """
    layer._losses.clear()


def losses_of_calls(model: keras.Model) -> list[tf.Tensor]:
    """The losses that the layers of `model` added in their last call in a graph."""
    return [loss for layer in model._flatten_layers() for loss in layer._eager_losses]


def losses_of_weights(model: keras.Model) -> list[tf.Tensor]:
    """The penalties on the weights of `model`, computed now."""
    penalties = [penalty() for layer in model._flatten_layers() for penalty in layer._callable_losses]
    return [loss for loss in penalties if loss is not None]


def added_functions(model: keras.Model) -> list:
    """The losses of a graph model that were added as functions (`model.add_loss(lambda: ...)`)."""
    return list(model._callable_losses)


def as_in_fit(loss: keras.losses.Loss | Callable) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The losses of examples as `fit` computes them: labels [n] and outputs [n, 1] get one shape and type before.

    Under a distribution strategy a `Loss` refuses to compute the mean itself, so there is none here.
    """
    match = importlib.import_module("tf_keras.src.engine.compile_utils").match_dtype_and_rank
    if not isinstance(loss, keras.losses.Loss):
        loss = importlib.import_module("tf_keras.src.losses").LossFunctionWrapper(loss)
    return lambda labels, outputs: loss.call(match(labels, outputs, None)[0], outputs)
