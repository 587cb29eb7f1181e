"""Images with labels in memory, and their split into training, validation and test parts."""

from __future__ import annotations

import dataclasses

import numpy as np

from tost_tf.data.base_name import base_name
from tost_tf.errors import TostError
from tost_tf.seeds import derive_seed

# Examples are split in the same order in every run, whatever its seed.
SPLIT_SEED = derive_seed(0, "validation split")

# Mean and standard deviation by channel in the authors' released code, for both CIFAR-10 and CIFAR-100. These
# deviations are averages over images of the deviation within an image, smaller than the deviation of all pixels.
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_DEVIATION = (0.2023, 0.1994, 0.2010)


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images as uint8 of shape [examples, height, width, channels], labels as int32 of shape [examples].

    Instead of images there may be other numbers, float32 or int32 of shape [examples, ...]: sequences, rows, tokens.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        are_images = self.images.dtype == np.uint8 and self.images.ndim == 4
        if not are_images and (self.images.dtype not in (np.float32, np.int32) or self.images.ndim < 2):
            raise TostError(
                "images must be uint8 of shape [examples, height, width, channels], other data float32 or int32 of "
                f"shape [examples, ...], got {self.images.dtype} of shape {list(self.images.shape)}"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise TostError(f"{len(self.images)} images, but labels of shape {list(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray | slice) -> LabelledImages:
        return LabelledImages(self.images[indices], self.labels[indices])


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A dataset ready for training.

    Attributes:
      train, validation, test: the three parts.
      num_classes: labels are 0 to `num_classes - 1`.
      mean, deviation: by channel, of pixels scaled to [0, 1]; a network sees (pixel / 255 - mean) / deviation, also
        if the values are not pixels. Both are `None` if it sees the values unchanged.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    num_classes: int
    mean: tuple[float, ...] | None
    deviation: tuple[float, ...] | None

    @property
    def has_images(self) -> bool:
        """Whether the examples are images, not sequences, rows or tokens."""
        return self.train.images.ndim == 4

    @property
    def has_pixels(self) -> bool:
        """Whether the examples are images of bytes, not images of other numbers, such as scans."""
        return self.has_images and self.train.images.dtype == np.uint8

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of an example: height, width and channels of an image."""
        return tuple(self.train.images.shape[1:])


def split(
    name: str,
    train: LabelledImages,
    test: LabelledImages,
    num_classes: int,
    validation_fraction: float,
    train_examples: int = 0,
    normalize: str = "standard",
    validation: LabelledImages | None = None,
) -> ImageData:
    """Takes the validation part from the training images, in a fixed order.

    Args:
      name: the dataset, for messages and for its known mean and deviation.
      train, test: the parts as published.
      num_classes: the number of classes.
      validation_fraction: fraction of the training images for validation, in (0, 1).
      train_examples: use only that many of the other training images; 0 uses all.
      normalize: "standard", "unit" or "none".
      validation: a separate part for validation; then none is taken from `train`.

    Raises:
      TostError: a part is or would be empty, or there are fewer training images than `train_examples`.
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(len(train))
    validation_size = round(validation_fraction * len(train)) if validation is None else 0
    available = len(train) - validation_size
    if validation is None and not 0 < validation_size < len(train):
        raise TostError(
            f"validation_fraction={validation_fraction:g} of the {len(train)} training images of {name} leaves "
            f"{validation_size} for validation and {available} for training: both need at least one"
        )
    if not len(test):
        raise TostError(f"{name} has no test images, which are needed to evaluate a network")
    if not len(train) or (validation is not None and not len(validation)):
        raise TostError(f"{name} has {len(train)} training images and an empty part for validation")
    if train_examples > available:
        raise TostError(
            f"train_examples={train_examples}, but {name} has {available} training images besides validation"
        )
    kept = order[validation_size : validation_size + (train_examples or available)]
    part = train.take(kept)
    held_out = train.take(order[:validation_size]) if validation is None else validation
    return ImageData(part, held_out, test, num_classes, *_normalisation(name, part.images, normalize))


Moments = tuple[tuple[float, ...] | None, tuple[float, ...] | None]


def _normalisation(name: str, images: np.ndarray, normalize: str) -> Moments:
    if normalize == "unit" and images.dtype != np.uint8:
        raise TostError(f"normalize=unit is for pixels, {name} holds {images.dtype}: use standard or none")
    if normalize == "none" or np.issubdtype(images.dtype, np.signedinteger):
        return None, None
    if normalize == "unit":
        return (0.0,) * images.shape[-1], (1.0,) * images.shape[-1]
    if images.dtype != np.uint8:
        return _moments(images)
    if base_name(name) in ("cifar10", "cifar100") and images.shape[-1] == len(CIFAR_MEAN):
        return CIFAR_MEAN, CIFAR_DEVIATION
    # From the histogram of each channel: exact, without a copy of the images as floating-point numbers.
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        frequency = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
        mean = float(frequency @ levels)
        variance = float(frequency @ (levels - mean) ** 2)
        means.append(mean)
        deviations.append(variance**0.5 if variance > 0 else 1.0)  # 1 for a constant channel
    return tuple(means), tuple(deviations)


def _moments(numbers: np.ndarray) -> Moments:
    """Mean and deviation of numbers that are not pixels, for each index of the last axis, divided by 255: so they can
    be used like those of pixels."""
    rows = numbers.reshape(-1, numbers.shape[-1]).astype(np.float64)
    deviation = rows.std(axis=0)
    return (
        tuple((rows.mean(axis=0) / 255).tolist()),
        tuple((np.where(deviation > 0, deviation, 1.0) / 255).tolist()),
    )
