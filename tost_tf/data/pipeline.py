"""From images in memory to batches: shuffled, augmented, normalised, prefetched.

The order of the examples and their augmentation depend only on the seed and the number of the epoch, not on how many
epochs this process has run. So a resumed run sees the same batches as an uninterrupted one.
"""

from __future__ import annotations

import math

import numpy as np

from tost_tf.compat import tf
from tost_tf.data import augment as augmentation
from tost_tf.data.adaptive_crops import BATCHES_AHEAD
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.errors import TostError
from tost_tf.seeds import derive_seed

EVALUATION_BATCH = 500
SAMPLE_BATCH = 100


def normalise(images: tf.Tensor, data: ImageData) -> tf.Tensor:
    """Normalises pixels 0 to 255 of any type for a network: float32, (pixel / 255 - mean) / deviation.

    Data without a mean are seen as they are: whole numbers stay so, pixels become float32.
    """
    if data.mean is None:
        return tf.cast(images, tf.float32) if images.dtype == tf.uint8 else tf.convert_to_tensor(images)
    mean = tf.constant(data.mean, tf.float32)
    deviation = tf.constant(data.deviation, tf.float32)
    return (tf.cast(images, tf.float32) / 255.0 - mean) / deviation


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """The number of steps in which every example is seen once; the last batch may be smaller."""
    return math.ceil(examples / batch_size)


def training_batches(
    data: ImageData,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int = 0,
    augment: bool = True,
    first_step: int = 0,
    crop_padding: int | None = None,
    crop_probabilities: tf.Variable | np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of `(images, one-hot labels)` for the epochs `first_epoch` to `epochs - 1`, in order.

    Args:
      data: the dataset; its training part is used.
      batch_size: images per batch; the last batch of an epoch may be smaller.
      seed: determines order and augmentation, together with the number of the epoch.
      epochs: the number of epochs of the whole training.
      first_epoch: the first epoch, counted from 0: the number of epochs already done.
      augment: whether to shift and flip images; other data are never augmented.
      first_step: the first step of that epoch, counted from 0: the number of its steps already done.
      crop_padding: by how many pixels images are padded before they are cropped, and so shifted at most; by default
        `augment.padding`; 0 for flips only.
      crop_probabilities: [epochs], how likely an image is to be cropped in each epoch; by default 1. A variable is read
        when the first batch of an epoch is drawn, up to `adaptive_crops.BATCHES_AHEAD` batches ahead.
    """
    images, labels = tf.constant(data.train.images), tf.constant(data.train.labels)
    augment = augment and data.has_images
    examples, pixels = len(data.train), crop_padding
    if augment and pixels is None:
        pixels = augmentation.padding(*images.shape[1:3])
    order_seed, augment_seed = derive_seed(seed, "order"), derive_seed(seed, "augmentation")

    def plan(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch = tf.cast(epoch, tf.int32)
        order = tf.random.experimental.stateless_shuffle(tf.range(examples), tf.stack([order_seed, epoch]))
        probability = None if crop_probabilities is None else tf.gather(crop_probabilities, epoch)
        seeds = tf.stack([augment_seed, epoch])
        drawn = augmentation.draw(examples, seeds, pixels, probability) if augment else {}
        return tf.data.Dataset.from_tensor_slices((order, drawn)).batch(batch_size)

    def make_batch(order: tf.Tensor, drawn: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.gather(images, order)
        if augment:
            batch = augmentation.apply(batch, **drawn, pixels=pixels)
        return normalise(batch, data), tf.one_hot(tf.gather(labels, order), data.num_classes)

    epochs_left = tf.data.Dataset.range(first_epoch, epochs).flat_map(plan)
    ahead = tf.data.AUTOTUNE if crop_probabilities is None else BATCHES_AHEAD // 4
    batches = epochs_left.skip(first_step).map(make_batch, num_parallel_calls=ahead, deterministic=True)
    return _split_by_examples(batches).prefetch(ahead)


def evaluation_batches(data: ImageData, part: LabelledImages) -> tf.data.Dataset:
    """Batches of `(images, one-hot labels)` of a part, in its order, without augmentation."""
    return _batches(data, part, EVALUATION_BATCH)


def first_examples(data: ImageData, part: LabelledImages, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images of a part (all, if it has fewer), normalised, and their one-hot labels."""
    chosen = part.take(np.arange(min(count, len(part))))
    return normalise(chosen.images, data).numpy(), np.eye(data.num_classes, dtype=np.float32)[chosen.labels]


def balanced_batches(data: ImageData, per_class: int, seed: int) -> tf.data.Dataset:
    """`per_class` training images of each class, drawn by `seed`, without augmentation, in batches of `SAMPLE_BATCH`.

    Neither these batches nor what is computed from them depends on the batch size of training.

    Raises:
      TostError: a class has fewer training images.
    """
    generator = np.random.default_rng(derive_seed(seed, "balanced sample"))
    order = generator.permutation(len(data.train))
    chosen = []
    for label in range(data.num_classes):
        of_class = order[data.train.labels[order] == label]
        if len(of_class) < per_class:
            raise TostError(
                f"{per_class} training images of each class are requested, class {label} has {len(of_class)}: "
                "lower mask_examples_per_class"
            )
        chosen.append(of_class[:per_class])
    sample = data.train.take(generator.permutation(np.concatenate(chosen)))
    return _batches(data, sample, SAMPLE_BATCH)


def _batches(data: ImageData, part: LabelledImages, batch_size: int) -> tf.data.Dataset:
    pairs = tf.data.Dataset.from_tensor_slices((part.images, part.labels)).batch(batch_size)

    def make_batch(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return normalise(images, data), tf.one_hot(labels, data.num_classes)

    return _split_by_examples(pairs.map(make_batch, num_parallel_calls=tf.data.AUTOTUNE)).prefetch(tf.data.AUTOTUNE)


def _split_by_examples(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes a strategy split each batch over the replicas of all workers: there are no files to distribute."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
