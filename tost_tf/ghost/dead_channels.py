"""Channels that do not vary, which ghost neurons can leave as dead as they are under ReLU.

Under a mask at high sparsity some channels are the same number for every image, as no weight reads anything into them.
With ReLU they mostly stay so, since its derivative at 0 is 0; that of PSwish (ToST, Section 2.2) is 1/2, and such
channels get a gradient. Normalisation behind them divides by the root of a variance near zero: by 1/316 at least.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.errors import first_of
from tost_tf.ghost.neuron_layer import GhostNeuron
from tost_tf.ghost.skip import GhostSkip
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.graph.kernels import current_masks
from tost_tf.graph.noise import noise_off
from tost_tf.graph.replaced_calls import calls_replaced
from tost_tf.masks.starved import starved_layers

# Ranges that count as none: relative to the largest of the layer, which normalisation makes much the same for all that
# vary; and to the largest of the network, for layers in which there are rounding errors alone.
OF_LAYER, OF_NETWORK = 1e-3, 1e-6


def name_starved(model: keras.Model) -> None:
    """Logs the layers of a sparse model whose mask leaves at least half of the filters empty, for neurons to wake."""
    starved = starved_layers(model, current_masks(model))
    if not starved:
        return
    logging.warning(
        "the mask is starved, most filters of %s have no weight: ghost neurons wake such dead channels, which can "
        "undo the training; dead_channels=relu leaves them dead",
        first_of([f"{path} ({share:.0%})" for path, share in starved.items()], most=5),
    )


def find_dead_channels(view: keras.Model, images: np.ndarray) -> dict[str, int]:
    """Lets the ghost neurons of a ghosted view be ReLU on the channels that do not vary over some images.

    What varies is seen in the network as it is without ghosts (skips closed, ReLU everywhere), normalised by the batch.
    Nothing of the view changes beside `varies` of its ghost neurons of `dead_channels="relu"`.

    Args:
      view: the ghosted view.
      images: as the network takes them, [images, ...].

    Returns:
      Name of a ghost neuron -> how many of its channels are dead, for those that have some.
    """
    neurons = [part for part in view.submodules if isinstance(part, GhostNeuron) and part.varies is not None]
    ranges: dict[int, np.ndarray] = {}

    def recording(layer: GhostNeuron, call: Callable) -> Callable:
        def call_and_record(inputs):
            ranges[id(layer)] = np.maximum(ranges.get(id(layer), 0), _ranges(inputs, layer.channel_axis))
            return call(inputs)

        return call_and_record

    with statistics_kept(view), noise_off(view), calls_replaced(neurons, recording):
        for neuron in neurons:
            neuron.varies.assign(tf.zeros_like(neuron.varies))
        for part in view.submodules:
            if isinstance(part, GhostSkip):
                part.alpha.assign(0.0)
        view(images, training=True)
    largest = max((float(values.max()) for values in ranges.values()), default=0.0)
    dead = {}
    for neuron in neurons:
        values = ranges[id(neuron)]
        varies = values > max(OF_LAYER * float(values.max()), OF_NETWORK * largest)
        neuron.varies.assign(varies.astype(np.float32))
        if not varies.all():
            dead[neuron.name] = int(np.sum(~varies))
    return dead


def _ranges(x: tf.Tensor, channel_axis: int) -> np.ndarray:
    """The largest minus the smallest number of each channel."""
    values = np.moveaxis(tf.cast(x, tf.float32).numpy(), channel_axis, -1)
    return np.ptp(values.reshape(-1, values.shape[-1]), axis=0)
