"""The augmentation of the CIFAR papers: padding by an eighth, random crops, random horizontal flips; or less of it."""

from __future__ import annotations

from tost_tf.compat import tf

LARGEST_PADDING = 4

# Datasets of characters: a mirrored character is another one or none, so they are not augmented by default.
NOT_AUGMENTED = (
    *("binary_alpha_digits", "cmaterdb", "digits", "emnist", "kmnist"),
    *("mnist", "mnist_corrupted", "omniglot", "svhn_cropped"),
)


def padding(height: int, width: int) -> int:
    """Padding around an image in pixels: 4 for 32x32 (CIFAR) and larger, as in the papers; an eighth for smaller."""
    return min(LARGEST_PADDING, round(min(height, width) / 8))


def draw(examples: int, seed: tf.Tensor, pixels: int, probability: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
    """Random shifts and flips for `examples` images, which depend only on `seed`.

    Args:
      examples: number of images.
      seed: two integers.
      pixels: the padding of the images.
      probability: that an image is shifted at all, a scalar; by default 1.

    Returns:
      `top` and `left`: int32 of shape [examples], the corner of the crop in the padded image, 0 to 2 · `pixels`;
      `flip`: bool of shape [examples].
    """
    corners = tf.random.stateless_uniform((examples, 3), seed, 0, 2 * pixels + 1, tf.int32)
    if probability is not None:
        is_shifted = tf.random.stateless_uniform((examples,), tf.random.fold_in(seed, 2)) < probability
        corners = tf.where(is_shifted[:, None], corners, pixels)
    flip_seed = tf.random.fold_in(seed, 1)
    flip = tf.random.stateless_uniform((examples,), flip_seed) < 0.5
    return {"top": corners[:, 0], "left": corners[:, 1], "flip": flip}


def apply(images: tf.Tensor, top: tf.Tensor, left: tf.Tensor, flip: tf.Tensor, pixels: int) -> tf.Tensor:
    """Shifts and flips each image of a batch [examples, height, width, channels]; pixels from outside are black.

    Two gathers, one along rows and one along columns, crop the whole batch instead of image by image. The other
    arguments are those and what is given by `draw`.
    """
    height, width = images.shape[1], images.shape[2]
    around = [pixels] * 2
    padded = tf.pad(images, [[0, 0], around, around, [0, 0]])
    rows = top[:, None] + tf.range(height)
    columns = tf.where(flip[:, None], tf.range(width - 1, -1, -1), tf.range(width)) + left[:, None]
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
