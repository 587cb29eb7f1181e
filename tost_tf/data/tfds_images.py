"""Any image-classification dataset of tensorflow-datasets, decoded into memory."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tost_tf.compat import tf
from tost_tf.data.images import ImageData, LabelledImages, split
from tost_tf.data.resize import resized
from tost_tf.errors import TostError, unknown_name
from tost_tf.registry import DATASETS

if TYPE_CHECKING:
    from tost_tf.config.run_config import DataConfig


def load_tfds(config: DataConfig) -> ImageData:
    """Loads `config.dataset` from `config.data_dir`, downloading it first where that is possible.

    The test part is the published `test` split, or `validation` where there is no `test`.

    Raises:
      TostError: it is not there and cannot be downloaded, is no image-classification dataset, has images of
        many sizes and no `--image_size`, or does not fit into memory.
    """
    import tensorflow_datasets as tfds

    name = config.dataset
    data_dir = str(Path(config.data_dir).expanduser())
    if not os.isatty(2):
        tfds.disable_progress_bar()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # of many kinds: a broken folder, a name it does not know, ...
        raise TostError(
            f"tensorflow-datasets cannot open {name} in {data_dir}: {str(error).splitlines()[0]}"
        ) from error
    _require_classification(tfds, builder)
    if not Path(builder.data_dir).exists():
        _download(builder, data_dir)
    splits = builder.info.splits
    test_split = next((part for part in ("test", "validation") if part in splits), None)
    if "train" not in splits or test_split is None:
        raise TostError(f"{name} has the splits {', '.join(splits)}: a training and a test split are needed")
    image_key, label_key = builder.info.supervised_keys
    parts = [_decode(builder, part, image_key, label_key, config.image_size) for part in ("train", test_split)]
    classes = builder.info.features[label_key].num_classes
    return split(name, *parts, classes, config.validation_fraction, config.train_examples)


def require_known(name: str) -> None:
    """Raises `TostError` with the nearest name if tensorflow-datasets, which is imported, has no dataset `name`.

    Args:
      name: as tensorflow-datasets takes it: "NAME", "NAME/CONFIG", "NAME:VERSION".
    """
    import tensorflow_datasets as tfds

    known = (*DATASETS, *tfds.list_builders(with_community_datasets=False))
    if re.split("[/:]", name)[0] not in known:
        raise unknown_name("--dataset", name, known)


def _require_classification(tfds: Any, builder: Any) -> None:
    info = builder.info
    keys = info.supervised_keys
    if (
        not keys
        or len(keys) != 2
        or not isinstance(info.features[keys[0]], tfds.features.Image)
        or not isinstance(info.features[keys[1]], tfds.features.ClassLabel)
    ):
        raise TostError(f"{builder.name} is no image-classification dataset: it must give one image and one label")


def _download(builder: Any, data_dir: str) -> None:
    """Downloads and prepares, after asking once whether the source answers: TFDS itself would retry for long."""
    import requests

    missing = f"{builder.name} is not in {data_dir}"
    for url in builder.url_infos:
        try:
            requests.head(url, timeout=15, allow_redirects=True)
            break
        except requests.RequestException as error:
            raise TostError(
                f"{missing} and cannot be downloaded ({type(error).__name__} at {url}): copy the prepared dataset "
                "there, or name its folder with --data_dir"
            ) from None
    print(f"{missing}: downloading and preparing it (once)", flush=True)
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise TostError(f"{missing} and could not be downloaded and prepared: {error}") from error


def _decode(builder: Any, part: str, image_key: str, label_key: str, image_size: int) -> LabelledImages:
    feature = builder.info.features[image_key]
    height, width, channels = feature.shape
    if image_size:
        height = width = image_size
    if height is None or width is None:
        raise TostError(f"the images of {builder.name} are of many sizes: give one with --image_size")
    count = builder.info.splits[part].num_examples
    _require_memory(builder.name, count * height * width * channels)

    def to_pair(example):
        image = example[image_key]
        if image_size:
            image = resized(image, image_size)
        return image, tf.cast(example[label_key], tf.int32)

    dataset = builder.as_dataset(split=part, shuffle_files=False)
    dataset = dataset.map(to_pair, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(1000)
    images = np.empty((count, height, width, channels), np.uint8)
    labels = np.empty(count, np.int32)
    position = 0
    try:
        for image_batch, label_batch in dataset.as_numpy_iterator():
            stop = position + len(label_batch)
            images[position:stop], labels[position:stop] = image_batch, label_batch
            position = stop
    except tf.errors.OpError as error:
        raise TostError(f"the {part} split of {builder.name} cannot be read: {error.message.splitlines()[0]}") from None
    if count and labels.min() < 0:
        raise TostError(f"the labels of the {part} split of {builder.name} are not published")
    return LabelledImages(images, labels)


def _require_memory(name: str, size: int) -> None:
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > available / 2:
        raise TostError(
            f"{name} takes {size / 2**30:.1f} GiB decoded, more than half of this machine's "
            f"{available / 2**30:.1f} GiB of memory: make its images smaller with --image_size"
        )
