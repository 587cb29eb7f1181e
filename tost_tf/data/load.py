"""From a dataset's name to its images."""

from __future__ import annotations

from tost_tf.data.images import ImageData
from tost_tf.data.options import DataConfig
from tost_tf.registry import DATASETS


def load(config: DataConfig) -> ImageData:
    """The dataset `config.dataset`: from a loader of its own, else from tensorflow-datasets.

    Raises:
      TostError: it is not there, or not what it should be.
    """
    if config.dataset in DATASETS:
        return DATASETS[config.dataset](config)
    from tost_tf.data.tfds_images import load_tfds

    return load_tfds(config)
