"""Images and labels: loading and splitting, augmentation, and the `tf.data` pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tost_tf.registry import DATASETS

if TYPE_CHECKING:
    from tost_tf.data.images import ImageData
    from tost_tf.data.options import DataConfig

Loader = Callable[["DataConfig"], "ImageData"]


def register(name: str, load: Loader) -> Loader:
    """Makes `load`, from the options of the data to an `ImageData`, known as the dataset `name`, and returns it.

    Raises:
      TostError: the name is taken.
    """
    return DATASETS.register(name, load)
