"""From a dataset's name to its images."""

from __future__ import annotations

from tost_tf.data.images import ImageData
from tost_tf.data.options import DataConfig
from tost_tf.data.sources import is_own, load_own
from tost_tf.registry import DATASETS


def load(config: DataConfig) -> ImageData:
    """Loads `config.dataset`: by its registered loader, from a user's data, or from tensorflow-datasets.

    Raises:
      TostError: the dataset is missing or not suitable.
    """
    if config.dataset in DATASETS:
        return DATASETS[config.dataset](config)
    if is_own(config.dataset):
        return load_own(config)
    from tost_tf.data.tfds_images import load_tfds

    return load_tfds(config)
