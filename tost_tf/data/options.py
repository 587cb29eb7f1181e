"""The options of datasets."""

from __future__ import annotations

import dataclasses

from tost_tf.options import none_of, one_of, option

DEFAULT_DATA_DIR = "~/tensorflow_datasets"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are split and augmented."""

    dataset: str = option(
        "cifar10",
        "digits, tiny_imagenet, or any image-classification dataset of tensorflow-datasets: NAME, NAME/CONFIG or "
        "NAME:VERSION; folder:PATH for folders of images, npz:FILE for arrays, MODULE:FUNCTION for data of your own",
    )
    data_dir: str = option(DEFAULT_DATA_DIR, "the folder of the datasets")
    train_examples: int = option(0, "use only that many training images; 0 means all", minimum=0)
    validation_fraction: float = option(0.1, "fraction of the training images used for validation", above=0, below=1)
    augment: bool | None = option(
        None,
        "pad by an eighth (4 pixels at most), crop and flip at random (by default yes, but not images of characters)",
    )
    crop_padding: int | None = option(
        None,
        "with --augment, pad by that many pixels, which is how far images are shifted at most; 0 flips them only "
        "(by default an eighth, 4 pixels at most)",
        minimum=0,
        only_with={"augment": one_of(True)},
    )
    adaptive_crops: bool = option(
        False,
        "with --augment, crop images as far as the network overfits: none while the accuracy on training images is at "
        "most 2 points above that on validation images, all of them from 10 points on",
        only_with={"augment": one_of(True), "crop_padding": none_of(0)},
    )
    normalize: str = option(
        "standard",
        "how values are fed to the network: standard is mean 0 and deviation 1 by channel, unit is pixels from 0 to 1, "
        "none is unchanged; integers that are not pixels, such as token ids, are always unchanged",
        names=("standard", "unit", "none"),
    )
    image_size: int = option(0, "resize images to this height and width in pixels; 0 leaves them unchanged", minimum=0)
