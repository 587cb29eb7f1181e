"""`folder:PATH`: a folder with a folder of images for each class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.data.arrays import from_arrays
from tost_tf.data.images import SPLIT_SEED
from tost_tf.errors import TostError

if TYPE_CHECKING:
    from tost_tf.data.images import ImageData
    from tost_tf.data.options import DataConfig

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")  # those that Keras reads
VALIDATION = ("validation", "val", "valid")
TEST_FRACTION = 0.2
BATCH = 256

Part = tuple[np.ndarray, np.ndarray]


def load_folder(path: Path, config: DataConfig) -> ImageData:
    """Reads images with Keras's reader, from a folder for each class, in `path` itself or in `train/`, `test/`, ...

    If `path` has `train/`, it needs `test/`, and may have `validation/` (or `val/`, `valid/`), with folders of the same
    names; without `test/`, `validation/` is the test part. If there is no `train/`, a fixed fifth of the images is the
    test part.

    Raises:
      TostError: there are no such folders, or others beside them, images have different sizes and no `image_size` is
        given, or an image cannot be read.
    """
    if not path.is_dir():
        raise TostError(f"{path} is not a folder")
    name_of_data = f"folder:{path.name}"
    if not (path / "train").is_dir():
        classes = _classes(path)
        _require_images(path, classes)
        images, labels = _read(path, classes, config.image_size)
        order = np.random.default_rng(SPLIT_SEED + 1).permutation(len(images))
        cut = round(TEST_FRACTION * len(images))
        test, train = order[:cut], order[cut:]
        return from_arrays(name_of_data, (images[train], labels[train]), (images[test], labels[test]), config)
    names = _parts(path)
    if len(names) == 1:
        raise TostError(f"{path} has train/ but neither test/ nor validation/, which are needed to evaluate a network")
    classes = _classes(path / "train")
    for name in names[1:]:
        if _classes(path / name) != classes:
            raise TostError(
                f"{path / name} has other classes than train/: {_difference(_classes(path / name), classes)}"
            )
    parts = [_read(path / name, classes, config.image_size) for name in names]
    return from_arrays(name_of_data, parts[0], parts[1], config, *parts[2:])


def _parts(path: Path) -> list[str]:
    """The folders of the parts: training, test and validation, as far as they are there."""
    found = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    classes = _classes(path / "train")
    others = [
        name
        for name in found
        if name not in ("train", "test", *VALIDATION) and any((path / name / each).is_dir() for each in classes)
    ]
    validation = [name for name in VALIDATION if name in found]
    if others or len(validation) > 1:
        raise TostError(
            f"{path} has {', '.join(f'{name}/' for name in others or validation)} beside train/: its folders may be "
            "train/, test/ and one for validation (validation/, val/ or valid/)"
        )
    return [name for name in ("train", "test", *validation) if name in found]


def _classes(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        raise TostError(f"{folder} holds {len(names)} folders: one for each class, with its images, is needed")
    return names


def _require_images(path: Path, classes: list[str]) -> None:
    """Raises `TostError` if the folders of the classes hold nothing but folders: they are parts by other names."""
    entries = [entry for name in classes for entry in (path / name).iterdir() if not entry.name.startswith(".")]
    if entries and all(entry.is_dir() for entry in entries):
        raise TostError(
            f"{path} has no train/, and its folders {', '.join(classes)} hold no images, but folders: name parts "
            "train/ and test/, or put the images of each class into one folder"
        )


def _difference(found: list[str], expected: list[str]) -> str:
    return ", ".join(
        [*(f"no {name}" for name in expected if name not in found), *(n for n in found if n not in expected)]
    )


def _read(folder: Path, classes: list[str], image_size: int) -> Part:
    size, color_mode = _size_of(folder, classes, image_size)
    dataset = keras.utils.image_dataset_from_directory(
        str(folder),
        class_names=classes,
        color_mode=color_mode,
        batch_size=BATCH,
        image_size=size,
        shuffle=False,
        interpolation="area" if image_size else "nearest",
    )
    try:
        batches = list(dataset.as_numpy_iterator())
    except tf.errors.OpError as error:
        name = next(filter(_is_broken, dataset.file_paths), f"an image in {folder}")
        raise TostError(f"{name} cannot be read: {error.message.splitlines()[0]}") from None
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return np.round(np.clip(images, 0, 255)).astype(np.uint8), labels.astype(np.int32)


def _is_broken(file: str) -> bool:
    try:
        tf.io.decode_image(tf.io.read_file(file))
    except tf.errors.OpError:
        return True
    return False


def _size_of(folder: Path, classes: list[str], image_size: int) -> tuple[tuple[int, int], str]:
    """Height and width of the images, and Keras's name for their channels, from their headers."""
    from PIL import Image, UnidentifiedImageError

    files = [file for name in classes for file in sorted((folder / name).rglob("*")) if file.suffix.lower() in SUFFIXES]
    if not files:
        raise TostError(f"there are no images in the folders of {folder}: suffixes are {', '.join(SUFFIXES)}")
    sizes, modes = {}, set()
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.setdefault(image.size[::-1], file)
                modes.add(image.mode)
        except (UnidentifiedImageError, OSError) as error:
            raise TostError(f"the image {file} cannot be read: {error}") from None
    if len(sizes) > 1 and not image_size:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise TostError(
            f"the images in {folder} have different sizes, such as {one[0]}x{one[1]} ({first.name}) and "
            f"{other[0]}x{other[1]} ({second.name}): set one with image_size"
        )
    size = (image_size, image_size) if image_size else next(iter(sizes))
    return size, "grayscale" if modes <= {"L", "1"} else "rgb"
