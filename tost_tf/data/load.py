"""From a dataset's name to its images."""

from __future__ import annotations

from tost_tf.data.images import ImageData
from tost_tf.data.options import DataConfig
from tost_tf.data.sources import is_own, load_own
from tost_tf.registry import DATASETS


def load(config: DataConfig) -> ImageData:
    """The dataset `config.dataset`: from a loader of its own, from the user's own data, or from tensorflow-datasets.

    Raises:
      TostError: it is not there, or not what it should be.
    """
    if config.dataset in DATASETS:
        return DATASETS[config.dataset](config)
    if is_own(config.dataset):
        return load_own(config)
    from tost_tf.data.tfds_images import load_tfds

    return load_tfds(config)
