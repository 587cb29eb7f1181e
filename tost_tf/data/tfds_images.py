"""Any image-classification dataset of tensorflow-datasets, decoded into memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tost_tf.compat import tf
from tost_tf.data.images import ImageData, LabelledImages, split
from tost_tf.data.resize import resized
from tost_tf.errors import TostError

if TYPE_CHECKING:
    from tost_tf.data.options import DataConfig


def load_tfds(config: DataConfig) -> ImageData:
    """Loads `config.dataset` from `config.data_dir`; downloads it first if it is missing.

    The test part is the published `test` split, or `validation` if there is no `test`.

    Raises:
      TostError: the dataset is missing and cannot be downloaded, is not for image classification, has images of
        different sizes and no `image_size`, or does not fit into memory.
    """
    import tensorflow_datasets as tfds

    name = config.dataset
    data_dir = str(Path(config.data_dir).expanduser())
    if not os.isatty(2):
        tfds.disable_progress_bar()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # of many types: a broken folder, an unknown name, ...
        raise TostError(
            f"tensorflow-datasets cannot open {name} in {data_dir}: {str(error).splitlines()[0]}"
        ) from error
    keys = _image_and_label(tfds, name, builder.info)
    if not Path(builder.data_dir).exists():
        _download(builder, data_dir)
    splits = builder.info.splits
    test_split = next((part for part in ("test", "validation") if part in splits), None)
    if "train" not in splits or test_split is None:
        raise TostError(f"{name} has the splits {', '.join(splits)}: a training and a test split are needed")
    parts = [_decode(builder, part, *keys, config.image_size) for part in ("train", test_split)]
    classes = builder.info.features[keys[1]].num_classes
    return split(name, *parts, classes, config.validation_fraction, config.train_examples, config.normalize)


def _image_and_label(tfds: Any, name: str, info: Any) -> tuple[str, str]:
    """The names of the features image and class: those of supervised training, else "image" and "label", else the only
    ones of their types.

    Raises:
      TostError: the dataset does not have one uint8 image and its class; the message names its features.
    """
    features = dict(info.features.items()) if isinstance(info.features, tfds.features.FeaturesDict) else {}
    images = [key for key, feature in features.items() if _is_image(tfds, feature) and feature.np_dtype == np.uint8]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    supervised = [key for key in info.supervised_keys or () if isinstance(key, str)]
    for pair in (supervised[:2], ["image", "label"], [*images, *labels]):
        if len(pair) == 2 and pair[0] in images and pair[1] in labels:
            return tuple(pair)
    features_text = [f"{key} ({_kind(tfds, feature)})" for key, feature in sorted(features.items())]
    raise TostError(
        f"{name} is not an image-classification dataset: a uint8 image and its class are needed, its features are "
        f"{', '.join(features_text) or type(info.features).__name__}"
    )


def _kind(tfds: Any, feature: Any) -> str:
    kind = type(feature).__name__
    return f"{kind} of {np.dtype(feature.np_dtype).name}" if _is_image(tfds, feature) else kind


def _is_image(tfds: Any, feature: Any) -> bool:
    return isinstance(feature, tfds.features.Image)


def _download(builder: Any, data_dir: str) -> None:
    """Downloads and prepares a dataset. First checks that the source answers: TFDS itself would retry for long."""
    import requests

    missing = f"{builder.name} is not in {data_dir}"
    for url in builder.url_infos:
        try:
            requests.head(url, timeout=15, allow_redirects=True)
            break
        except requests.RequestException as error:
            raise TostError(
                f"{missing} and cannot be downloaded ({type(error).__name__} at {url}): copy the prepared dataset "
                "there, or name its folder with data_dir"
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
    if channels is None:
        raise TostError(f"the images of {builder.name} have no fixed number of channels")
    if height is None or width is None:
        raise TostError(f"the images of {builder.name} have different sizes: set one with image_size")
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
            f"{available / 2**30:.1f} GiB of memory: make its images smaller with image_size"
        )
