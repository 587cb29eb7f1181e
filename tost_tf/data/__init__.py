"""Images and labels: loading and splitting, augmentation, and the `tf.data` pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tost_tf.registry import DATASETS

if TYPE_CHECKING:
    from tost_tf.data.images import ImageData
    from tost_tf.data.options import DataConfig

__all__ = ["register"]

Loader = Callable[["DataConfig"], "ImageData"]


def register(name: str, load: Loader) -> Loader:
    """Makes `load`, from the options of the data to an `ImageData`, known as the dataset `name`, and returns it.

    Raises:
      TostError: the name is taken.

    Examples:
      >>> from tost_tf.data.images import ImageData, LabelledImages
      >>> def noise(config):
      ...     generator = np.random.default_rng(0)
      ...     images = generator.integers(0, 256, (30, 8, 8, 1), np.uint8)
      ...     part = LabelledImages(images, np.arange(30, dtype=np.int32) % 3)
      ...     return ImageData(part, part, part, num_classes=3, mean=(0.5,), deviation=(0.3,))
      >>> loader = tost.datasets.register("noise", noise)  # then: --dataset=noise
    """
    return DATASETS.register(name, load)
