"""Tiny ImageNet from its extracted archive: 200 classes of 64x64 colour images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tost_tf.compat import tf
from tost_tf.data.images import ImageData, LabelledImages, split
from tost_tf.data.options import DataConfig
from tost_tf.data.resize import resized
from tost_tf.errors import TostError

FOLDER = "tiny-imagenet-200"
DEFAULT_SIZE = 64


def load_tiny_imagenet(config: DataConfig) -> ImageData:
    """Reads `tiny-imagenet-200/` in `config.data_dir`, or `config.data_dir` itself if it is that folder.

    The published validation images are the test part: the labels of the test images are not public, and papers report
    accuracy on the validation images.

    Raises:
      TostError: the folder or a file in it is missing.
    """
    root = Path(config.data_dir).expanduser()
    folder = root if root.name == FOLDER else root / FOLDER
    names_file = folder / "wnids.txt"
    if not names_file.is_file():
        raise TostError(
            f"tiny_imagenet is not at {folder} (no wnids.txt there): extract tiny-imagenet-200.zip into "
            f"{folder.parent}, or name its folder with data_dir"
        )
    classes = names_file.read_text().split()
    labels = {name: label for label, name in enumerate(classes)}
    size = config.image_size or DEFAULT_SIZE
    train = [(path, labels[name]) for name in classes for path in sorted((folder / "train" / name).rglob("*.JPEG"))]
    test = []
    annotations = folder / "val" / "val_annotations.txt"
    if annotations.is_file():
        for line in annotations.read_text().splitlines():
            file_name, class_name = line.split("\t")[:2]
            test.append((folder / "val" / "images" / file_name, labels[class_name]))
    if not train or not test:
        raise TostError(f"{folder} is incomplete: {len(train)} training and {len(test)} validation images were found")
    return split(
        "tiny_imagenet",
        _decode(train, size),
        _decode(test, size),
        len(classes),
        config.validation_fraction,
        config.train_examples,
        config.normalize,
    )


def _decode(files: list[tuple[Path, int]], size: int) -> LabelledImages:
    def read(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)  # a few files are greyscale
        if size != DEFAULT_SIZE:
            image = resized(image, size)
        return tf.ensure_shape(image, (size, size, 3))

    paths = tf.data.Dataset.from_tensor_slices([str(path) for path, _ in files])
    images = np.empty((len(files), size, size, 3), np.uint8)
    position = 0
    decoded = paths.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).batch(1000)
    try:
        for batch in decoded.as_numpy_iterator():
            images[position : position + len(batch)] = batch
            position += len(batch)
    except tf.errors.OpError as error:
        raise TostError(f"an image of tiny_imagenet cannot be read: {error.message.splitlines()[0]}") from None
    return LabelledImages(images, np.array([label for _, label in files], np.int32))
