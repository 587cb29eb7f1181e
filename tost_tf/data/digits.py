"""scikit-learn's bundled handwritten digits: 1,797 images of 8x8 pixels, no download."""

from __future__ import annotations

import numpy as np

from tost_tf.data.images import SPLIT_SEED, ImageData, LabelledImages, split
from tost_tf.data.options import DataConfig
from tost_tf.data.resize import resized


def load_digits(config: DataConfig) -> ImageData:
    """The digits. A fixed fifth of them is the test part, since none is published."""
    from sklearn.datasets import load_digits as bundled_digits

    digits = bundled_digits()
    # Grey values are 0 to 16.
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    if config.image_size:
        images = resized(images, config.image_size).numpy()
    labels = digits.target.astype(np.int32)
    order = np.random.default_rng(SPLIT_SEED + 1).permutation(len(images))
    cut = len(images) // 5
    everything = LabelledImages(images, labels)
    return split(
        "digits",
        train=everything.take(order[cut:]),
        test=everything.take(order[:cut]),
        num_classes=10,
        validation_fraction=config.validation_fraction,
        train_examples=config.train_examples,
        normalize=config.normalize,
    )
