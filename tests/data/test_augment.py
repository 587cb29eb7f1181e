import numpy as np

from tost_tf.compat import tf
from tost_tf.data import augment


def test_shift_and_flip_by_hand():
    image = np.arange(1, 15 * 16 + 1).reshape(1, 15, 16, 1).astype(np.uint8)
    images = tf.constant(np.repeat(image, 3, axis=0))
    # The middle of the padded image; one row up and two columns left of it; the middle, flipped.
    result = augment.apply(images, tf.constant([2, 1, 2]), tf.constant([2, 0, 2]), tf.constant([False, False, True]), 2)
    np.testing.assert_array_equal(result[0], image[0])
    moved = np.zeros_like(image[0])
    moved[1:, 2:] = image[0, :-1, :-2]
    np.testing.assert_array_equal(result[1], moved)
    np.testing.assert_array_equal(result[2], image[0, :, ::-1])
    assert result.dtype == tf.uint8


def test_flip_of_a_shifted_image_is_the_mirrored_crop():
    images = tf.constant(np.random.default_rng(0).integers(0, 255, (1, 16, 17, 2)), tf.uint8)
    top, left = tf.constant([3]), tf.constant([1])
    plain = augment.apply(images, top, left, tf.constant([False]), 2)
    np.testing.assert_array_equal(augment.apply(images, top, left, tf.constant([True]), 2), plain[:, :, ::-1])


def test_drawn_values_are_in_range_and_decided_by_the_seed():
    drawn = augment.draw(3000, tf.constant([5, 9]), 3)
    for corner in (drawn["top"], drawn["left"]):
        assert sorted(set(corner.numpy())) == list(range(7))
    assert 0.45 < np.mean(drawn["flip"]) < 0.55
    assert abs(np.corrcoef(drawn["top"], drawn["left"])[0, 1]) < 0.06
    again, other = augment.draw(3000, tf.constant([5, 9]), 3), augment.draw(3000, tf.constant([5, 10]), 3)
    np.testing.assert_array_equal(drawn["top"], again["top"])
    assert np.any(drawn["top"] != other["top"])


def test_padding_is_an_eighth_and_four_at_most():
    sizes = {(32, 32): 4, (64, 64): 4, (28, 28): 4, (16, 16): 2, (32, 16): 2, (8, 8): 1, (3, 9): 0}
    assert {size: augment.padding(*size) for size in sizes} == sizes
