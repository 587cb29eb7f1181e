"""BatchNormalization's statistics: kept unchanged through a forward pass, or computed again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import is_graph_model
from tost_tf.errors import TostError
from tost_tf.graph.calls import calls
from tost_tf.graph.copy import unwrapped_layer


@contextlib.contextmanager
def statistics_kept(model: keras.Model) -> Iterator[None]:
    """Restores the non-trainable variables of `model` (BatchNormalization's statistics) at the end of the block."""
    before = [(variable, variable.numpy()) for variable in model.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


def normalisations(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of `model` with moving means and variances, including those of nested models.

    Raises:
      TostError: such a layer is called several times, so one batch has several means.
    """
    networks = [model, *(part for part in model.submodules if is_graph_model(part))]
    called = [unwrapped_layer(call.layer) for network in networks for call in calls(network)]
    layers = [layer for layer in called if hasattr(layer, "moving_mean") and hasattr(layer, "momentum")]
    shared = sorted({layer.name for layer in layers if sum(layer is other for other in layers) > 1})
    if shared:
        raise TostError(
            f"{', '.join(shared)} normalises in several places, so its statistics cannot be computed for an average of "
            "networks: use a separate BatchNormalization for each place, or leave superpose out"
        )
    return layers


def recalibrate(model: keras.Model, batches: Iterable[tf.Tensor]) -> None:
    """Sets the moving means and variances to the averages over batches, weighted by the batches' sizes.

    The variance of a batch is the one Keras uses for its moving average. Averaged weights need this: no network with
    them has seen an image yet (Izmailov et al. 2018). Meanwhile each batch is normalised by its statistics.

    Args:
      model: its other weights do not change; without BatchNormalization nothing is done.
      batches: of images, preprocessed for the model.
    """
    layers = normalisations(model)
    statistics = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    if not statistics:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0  # then the moving statistics are those of the last batch
    try:
        forward = tf.function(lambda images: model(images, training=True), reduce_retracing=True)
        sums, examples = [np.zeros(variable.shape) for variable in statistics], 0
        for images in batches:
            forward(images)
            size = len(tf.nest.flatten(images)[0])
            examples += size
            sums = [total + size * variable.numpy() for total, variable in zip(sums, statistics, strict=True)]
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for variable, total in zip(statistics, sums, strict=True):
        variable.assign(total / examples)
