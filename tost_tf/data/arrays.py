"""From a user's arrays to a dataset ready for training."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from tost_tf.data.images import ImageData, LabelledImages, split
from tost_tf.data.resize import resized
from tost_tf.errors import TostError

if TYPE_CHECKING:
    from tost_tf.data.options import DataConfig

Arrays = tuple[np.ndarray, np.ndarray]  # examples, and their labels


def from_arrays(
    name: str, train: Arrays, test: Arrays, config: DataConfig, validation: Arrays | None = None
) -> ImageData:
    """A dataset of arrays: images, sequences or rows, each with an integer label.

    Args:
      name: the name in messages.
      train, test: examples and labels. Examples are uint8 images, [examples, height, width] or
        [examples, height, width, channels], of which the last may be other integers from 0 to 255 too; or numbers of
        any shape, [examples, ...], with channels or features last; or integers, such as token ids. Labels are integers
        from 0, [examples] or [examples, 1].
      config: the number of examples used, their size, and the normalisation.
      validation: as `train`; by default a part of `train`.

    Raises:
      TostError: an array has a wrong type, shape or value.
    """
    names = ("train", "test") if validation is None else ("train", "test", "validation")
    pairs = (train, test) if validation is None else (train, test, validation)
    parts = [_part(f"{name}, {part}", *pair, config.image_size) for part, pair in zip(names, pairs, strict=True)]
    if all(_are_pixels(part.images) for part in parts):
        parts = [LabelledImages(part.images.astype(np.uint8), part.labels) for part in parts]
    shapes = {part.images.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise TostError(f"the parts of {name} hold examples of several shapes: {sorted(shapes)}")
    kinds = {part: str(own.images.dtype) for part, own in zip(names, parts, strict=False)}
    if len(set(kinds.values())) > 1:
        shown = ", ".join(f"{part} {kind}" for part, kind in kinds.items())
        raise TostError(f"the parts of {name} hold examples of several types ({shown}): they must have the same scale")
    classes = 1 + max(int(part.labels.max(initial=-1)) for part in parts)
    if classes < 2:
        raise TostError(f"{name} has labels of {classes} class, at least two are needed")
    without = np.setdiff1d(np.arange(classes), parts[0].labels).tolist()
    if without:
        shown = f"{', '.join(map(str, without[:9]))}{', ...' if len(without) > 9 else ''}"
        logging.warning("%s has no training examples of the labels %s, counted from 0", name, shown)
    return split(
        name,
        *parts[:2],
        classes,
        config.validation_fraction,
        config.train_examples,
        config.normalize,
        *parts[2:],
    )


def _part(name: str, examples: np.ndarray, labels: np.ndarray, image_size: int) -> LabelledImages:
    examples, labels = np.asarray(examples), np.asarray(labels)
    if examples.dtype == np.uint8 and examples.ndim == 3:
        examples = examples[..., None]
    if image_size:
        if examples.dtype != np.uint8 or examples.ndim != 4:
            raise TostError(f"image_size={image_size} is for images as uint8, {name} holds {_shown(examples)}")
        if examples.shape[1:3] != (image_size, image_size):
            examples = resized(examples, image_size).numpy()
    return LabelledImages(_numbers(name, examples), _whole_numbers(name, labels))


def _are_pixels(examples: np.ndarray) -> bool:
    """Whether these are images, whatever integers hold their pixels."""
    whole = examples.ndim == 4 and examples.dtype in (np.uint8, np.int32)
    return whole and examples.min(initial=0) >= 0 and examples.max(initial=0) <= 255


def _numbers(name: str, examples: np.ndarray) -> np.ndarray:
    if examples.ndim < 2 or examples.dtype.kind not in "uifb":
        raise TostError(f"{name} must hold numbers of shape [examples, ...], it holds {_shown(examples)}")
    if examples.dtype == np.uint8 and examples.ndim == 4:
        return examples
    if examples.dtype.kind in "ui" and examples.dtype != np.uint8:
        return _integers(name, examples)
    numbers = examples.astype(np.float32)
    if not np.isfinite(numbers).all():
        place = tuple(map(int, np.argwhere(~np.isfinite(numbers))[0]))
        raise TostError(f"{name} holds {numbers[place]} at {list(place)}: every number must be finite")
    return numbers


def _integers(name: str, examples: np.ndarray) -> np.ndarray:
    """As int32, such as token ids."""
    smallest, largest = (int(examples.min()), int(examples.max())) if examples.size else (0, 0)
    limits = np.iinfo(np.int32)
    if smallest < limits.min or largest > limits.max:
        raise TostError(f"{name} holds integers from {smallest} to {largest}: they must fit into 32 bits")
    return examples.astype(np.int32)


def _whole_numbers(name: str, labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise TostError(f"the labels of {name} must be whole numbers of shape [examples], they are {_shown(labels)}")
    if labels.size and labels.min() < 0:
        raise TostError(f"the labels of {name} start at {labels.min()}, they must be 0 or more")
    return labels.astype(np.int32)


def _shown(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {list(array.shape)}"
