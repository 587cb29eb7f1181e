"""Images with labels in memory, and their split into training, validation and test parts."""

from __future__ import annotations

import dataclasses

import numpy as np

from tost_tf.data.names import base_name
from tost_tf.errors import TostError
from tost_tf.seeds import derive_seed

# The order examples are split in is the same for every run, whatever its seed.
SPLIT_SEED = derive_seed(0, "validation split")

# Mean and standard deviation by channel that the authors' released code normalises with (there, for CIFAR-10
# and CIFAR-100 alike; its deviations are means over images, smaller than those over all pixels).
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_DEVIATION = (0.2023, 0.1994, 0.2010)


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images as uint8 of shape [examples, height, width, channels], labels as int32 of shape [examples]."""

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise TostError(
                "images must be uint8 of shape [examples, height, width, channels], "
                f"got {self.images.dtype} of shape {list(self.images.shape)}"
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
      mean, deviation: by channel, of pixels scaled to [0, 1]; a network sees (pixel / 255 - mean) / deviation.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    num_classes: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return tuple(self.train.images.shape[1:])


def split(
    name: str,
    train: LabelledImages,
    test: LabelledImages,
    num_classes: int,
    validation_fraction: float,
    train_examples: int = 0,
) -> ImageData:
    """Cuts the validation part from the training images, by an order that never changes.

    Args:
      name: the dataset, for messages and for its known mean and deviation.
      train, test: the parts as published.
      num_classes: how many classes there are.
      validation_fraction: share of the training images for validation, in (0, 1).
      train_examples: keep only that many of what is left for training; 0 keeps all.

    Raises:
      TostError: a part is or would be empty, or more training images are asked for than there are.
    """
    order = np.random.default_rng(SPLIT_SEED).permutation(len(train))
    validation_size = round(validation_fraction * len(train))
    available = len(train) - validation_size
    if not 0 < validation_size < len(train):
        raise TostError(
            f"validation_fraction={validation_fraction:g} of the {len(train)} training images of {name} leaves "
            f"{validation_size} for validation and {available} for training: both need at least one"
        )
    if not len(test):
        raise TostError(f"{name} has no test image: a network is scored on those")
    if train_examples > available:
        raise TostError(
            f"train_examples={train_examples}, but {name} has {available} training images besides validation"
        )
    kept = order[validation_size : validation_size + (train_examples or available)]
    part = train.take(kept)
    mean, deviation = _normalisation(name, part.images)
    return ImageData(part, train.take(order[:validation_size]), test, num_classes, mean, deviation)


def _normalisation(name: str, images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if base_name(name) in ("cifar10", "cifar100"):
        return CIFAR_MEAN, CIFAR_DEVIATION
    # By the histogram of each channel: exact, and no copy of the images as floating-point numbers.
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        share = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
        mean = float(share @ levels)
        variance = float(share @ (levels - mean) ** 2)
        means.append(mean)
        deviations.append(variance**0.5 if variance > 0 else 1.0)  # 1 for a channel that never changes
    return tuple(means), tuple(deviations)
