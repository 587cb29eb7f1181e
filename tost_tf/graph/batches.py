"""Data for functions of a model, as Keras takes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.losses import as_in_fit
from tost_tf.errors import TostError

Batch = tuple[Any, Any]  # inputs and labels
Data = Iterable[Batch] | Batch  # as `Batches` takes it
BATCH_SIZE = 128


@dataclasses.dataclass(frozen=True)
class Batches:
    """Batches of inputs and labels; an iterable as often as `source` is one.

    Attributes:
      source: a `tf.data.Dataset` of batches, a `keras.utils.Sequence`, a pair of arrays (inputs, labels), which are
        divided into batches of `BATCH_SIZE`, or any iterable of pairs (inputs, labels). Inputs, and labels, may also be
        lists or dictionaries of arrays.
      takes_weights: whether pairs may be triples, with weights of the examples.
    """

    source: Any
    takes_weights: bool = False

    def __post_init__(self):
        if isinstance(self.source, str | bytes | dict) or not (self.is_arrays or hasattr(self.source, "__iter__")):
            raise TostError(
                "data is a tf.data.Dataset of batches, a keras.utils.Sequence, a pair of arrays (inputs, labels) or "
                f"an iterable of such pairs, got {type(self.source).__name__}"
            )

    @property
    def is_arrays(self) -> bool:
        """Whether the source is a pair of arrays, or of structures of them, and not a pair of batches."""
        if not isinstance(self.source, tuple) or len(self.source) not in self._lengths:
            return False
        inputs, labels, *_ = self.source
        if _is_array(labels):
            return True
        leaves = tf.nest.flatten((inputs, labels))
        return not isinstance(inputs, list | tuple) and bool(leaves) and all(map(_is_array, leaves))

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be gone through twice: an iterator gives each batch once."""
        return self.is_arrays or not isinstance(self.source, Iterator)

    @property
    def _lengths(self) -> tuple[int, ...]:
        return (2, 3) if self.takes_weights else (2,)

    def __iter__(self) -> Iterator[Batch]:
        if self.is_arrays:
            inputs, labels, *_ = (len(tf.nest.flatten(part)[0]) for part in self.source)
            if inputs != labels:
                raise TostError(f"there are {inputs} inputs and {labels} labels: give one label for each input")
            yield from in_batches(self.source)
            return
        for batch in self.source:
            if not isinstance(batch, list | tuple) or len(batch) not in self._lengths:
                found = f"{len(batch)} parts" if isinstance(batch, list | tuple) else type(batch).__name__
                raise TostError(f"a batch is a pair (inputs, labels), without weights of examples, got {found}")
            yield _tensors(batch[0]), *batch[1:]

    def for_fit(self) -> dict[str, Any]:
        """The arguments by which `fit` of Keras takes the data."""
        if self.is_arrays:
            return {"x": self.source[0], "y": self.source[1], "batch_size": BATCH_SIZE}
        return {"x": self.source}


def in_batches(arrays: Any) -> Iterator[Any]:
    """A structure of arrays, all of the same length, in parts of `BATCH_SIZE` as tensors."""
    for start in range(0, len(tf.nest.flatten(arrays)[0]), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        yield _tensors(tf.nest.map_structure(lambda array, part=part: array[part], arrays))


def inputs_alone(data: Any) -> np.ndarray:
    """All inputs as one array: `data` itself if it is an array, else the inputs of what `Batches` takes."""
    return np.asarray(data) if _is_array(data) else joined(data)[0]


def joined(inputs: Any, labels: Any = None) -> tuple[np.ndarray, Any]:
    """All examples of some data as arrays of inputs and of labels.

    Args:
      inputs: an array, or with `labels` left out any data that `Batches` takes.
      labels: an array of as many labels; `None` if `inputs` has both.

    Raises:
      TostError: there are no labels, not as many of them as inputs, or several inputs for an example.
    """
    if labels is None:
        if _is_array(inputs):
            raise TostError("there are inputs and no labels: give labels too, or data with both")
        batches = [(batch[0], np.asarray(batch[1])) for batch in Batches(inputs)]
        if not batches or not all(_is_array(part) for part, _ in batches):
            raise TostError("the data have no example" if not batches else "the examples have several inputs each")
        inputs, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    inputs, labels = np.asarray(inputs), np.asarray(labels)
    if len(inputs) != len(labels) or not len(inputs):
        raise TostError(f"there are {len(inputs)} inputs and {len(labels)} labels: give one label for each input")
    return inputs, labels


def scalar_loss(loss: str | Callable) -> Callable[[Any, Any], tf.Tensor]:
    """The mean over the examples of any loss of Keras: a name, a `keras.losses.Loss`, or a function.

    One array of labels for one tensor of outputs gets its type and rank as in `fit`; a loss of several gets them as
    they are.

    Raises:
      TostError: it is neither.
    """
    if not isinstance(loss, str) and not callable(loss):
        raise TostError(f"a loss is a name, a keras.losses.Loss or a function of labels and outputs, got {loss!r}")
    given = keras.losses.get(loss)
    of_one = as_in_fit(given)
    of_several = given.call if isinstance(given, keras.losses.Loss) else given

    def mean(labels: Any, outputs: Any) -> tf.Tensor:
        if isinstance(labels, np.ndarray) or _is_list_of_numbers(labels):
            labels = tf.convert_to_tensor(labels)
        is_one = tf.is_tensor(labels) and tf.is_tensor(outputs)
        return tf.reduce_mean((of_one if is_one else of_several)(labels, outputs))

    return mean


def _is_list_of_numbers(labels: Any) -> bool:
    return isinstance(labels, list | tuple) and all(map(np.isscalar, tf.nest.flatten(labels)))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or tf.is_tensor(value)


def _tensors(inputs: Any) -> Any:
    return tf.nest.map_structure(lambda array: tf.convert_to_tensor(array) if _is_array(array) else array, inputs)
