import numpy as np
import pytest

from tost_tf.data.digits import load_digits
from tost_tf.data.images import CIFAR_DEVIATION, CIFAR_MEAN, LabelledImages, split
from tost_tf.data.options import DataConfig
from tost_tf.errors import TostError


def numbered(count: int) -> LabelledImages:
    images = np.arange(count)[:, None, None, None] * np.ones((1, 2, 3, 2))
    return LabelledImages(images.astype(np.uint8), np.arange(count, dtype=np.int32))


def test_parts_are_disjoint_and_complete_and_always_the_same():
    first, second = (split("numbers", numbered(50), numbered(5), 50, 0.3) for _ in range(2))
    assert (len(first.train), len(first.validation), len(first.test)) == (35, 15, 5)
    assert sorted([*first.train.labels, *first.validation.labels]) == list(range(50))
    np.testing.assert_array_equal(first.train.labels, second.train.labels)


def test_fewer_training_images_do_not_change_validation():
    everything, few = (split("numbers", numbered(50), numbered(5), 50, 0.3, count) for count in (0, 8))
    np.testing.assert_array_equal(few.validation.labels, everything.validation.labels)
    np.testing.assert_array_equal(few.train.labels, everything.train.labels[:8])


def test_an_empty_part_is_refused():
    with pytest.raises(TostError, match="numbers has no test image"):
        split("numbers", numbered(10), numbered(0), 10, 0.2)


def test_mean_and_deviation_are_those_of_the_training_part():
    images = np.zeros((10, 1, 2, 2), np.uint8)
    images[:, :, 0, 0], images[:, :, 1, 0] = 51, 153  # 0.2 and 0.6
    images[..., 1] = 102  # never changes
    data = split("made", LabelledImages(images, np.zeros(10, np.int32)), numbered(2), 2, 0.1)
    np.testing.assert_allclose(data.mean, (0.4, 0.4), rtol=1e-12)
    np.testing.assert_allclose(data.deviation, (0.2, 1.0), rtol=1e-12)


def test_cifar_is_normalised_as_in_the_authors_code():
    images = np.arange(10)[:, None, None, None] * np.ones((1, 2, 3, 3))
    colour = LabelledImages(images.astype(np.uint8), np.arange(10, dtype=np.int32))
    for name in ("cifar10", "cifar10:3.0.2"):
        data = split(name, colour, colour, 10, 0.1)
        assert (data.mean, data.deviation) == (CIFAR_MEAN, CIFAR_DEVIATION)
    data = split("cifar10:load", numbered(10), numbered(2), 10, 0.1)  # two channels: of a user's cifar10.py
    assert len(data.mean) == 2


@pytest.mark.parametrize(
    ("fraction", "examples", "message"),
    [(0.001, 0, "leaves 0 for validation"), (0.999, 0, "0 for training"), (0.3, 36, "has 35 training images")],
)
def test_empty_parts_are_refused(fraction, examples, message):
    with pytest.raises(TostError, match=message):
        split("numbers", numbered(50), numbered(5), 50, fraction, examples)


def test_wrong_arrays_are_refused():
    with pytest.raises(TostError, match=r"must be uint8 .* got float64"):
        LabelledImages(np.zeros((2, 3, 3, 1)), np.zeros(2, np.int32))
    with pytest.raises(TostError, match="2 images, but labels of shape"):
        LabelledImages(np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, np.int32))


def test_digits_are_all_there():
    data = load_digits(DataConfig(dataset="digits"))
    assert (len(data.train), len(data.validation), len(data.test)) == (1294, 144, 359)
    assert data.image_shape == (8, 8, 1) and data.num_classes == 10
    assert data.train.images.max() == 255
    everything = np.concatenate([data.train.images, data.validation.images, data.test.images])
    # The sum of all grey values 0 to 16 in the bundled set is 561,718.
    assert np.round(everything / (255 / 16)).sum() == 561718
    assert set(data.test.labels) == set(range(10))
