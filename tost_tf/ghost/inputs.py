"""Some of the inputs that `fit` is given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.graph.batches import in_batches

EXAMPLES = 2048


def for_training(inputs: Any, labels: Any, weights: Any, validation_split: float) -> Any:
    """What Keras trains on of the arguments of `fit`: without the last examples, which it validates on."""
    if labels is None:
        return inputs
    parts = (inputs, labels) if weights is None else (inputs, labels, weights)
    if not validation_split or not all(hasattr(leaf, "shape") for leaf in tf.nest.flatten(parts)):
        return parts  # of lists Keras can divide none, and says so
    examples = len(tf.nest.flatten(inputs)[0])
    kept = math.floor(examples * (1 - validation_split))  # as Keras divides them
    return tf.nest.map_structure(lambda array: array[:kept], parts)


def some_inputs(data: Any) -> Iterator[Any]:
    """Batches of the first `EXAMPLES` inputs, none if there is no data or looking at it would take it away from `fit`.

    Args:
      data: as `fit` of Keras takes it: a tuple of inputs, labels and weights of the examples, of which all but the
        inputs may be missing or `None`, a
        `tf.data.Dataset` or a `keras.utils.Sequence` of tuples, an iterator, or `None`.
    """
    count = 0
    for inputs in _batches(data):
        yield inputs
        count += len(tf.nest.flatten(inputs)[0])
        if count >= EXAMPLES:
            return


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, tuple):
        yield from in_batches(data[0])
    elif isinstance(data, tf.data.Dataset | keras.utils.Sequence):
        for batch in data if isinstance(data, tf.data.Dataset) else (data[index] for index in range(len(data))):
            yield batch[0] if isinstance(batch, tuple | list) else batch
