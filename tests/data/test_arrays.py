"""Arrays of the user's own: images, rows, tokens."""

import dataclasses

import numpy as np
import pytest

from tost_tf.data.arrays import from_arrays
from tost_tf.data.options import DataConfig
from tost_tf.data.pipeline import normalise, training_batches
from tost_tf.errors import TostError

CONFIG = DataConfig(validation_fraction=0.3)
LABELS = np.arange(10) % 3


def data_of(examples: np.ndarray, labels: np.ndarray = LABELS, **options):
    config = dataclasses.replace(CONFIG, **options)
    return from_arrays("mine", (examples, labels), (examples[:4], labels[:4]), config)


def test_grey_images_get_a_channel_and_labels_may_stand_in_a_column():
    data = data_of(np.arange(10 * 6, dtype=np.uint8).reshape(10, 2, 3), LABELS[:, None])
    assert data.image_shape == (2, 3, 1) and data.has_images and data.num_classes == 3
    assert (len(data.train), len(data.validation), len(data.test)) == (7, 3, 4)


def test_rows_are_standardised_by_feature():
    rows = np.random.default_rng(0).normal([5.0, -300.0], [2.0, 70.0], (10, 2))
    rows[:, 1] = np.round(rows[:, 1])
    data = data_of(rows)
    assert not data.has_images and data.image_shape == (2,) and data.train.images.dtype == np.float32
    fed = normalise(data.train.images, data).numpy()
    np.testing.assert_allclose(fed.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(fed.std(0), 1, rtol=1e-5)
    expected = (rows - data.train.images.mean(0)) / data.train.images.std(0)
    np.testing.assert_allclose(normalise(rows.astype(np.float32), data), expected, rtol=1e-4, atol=1e-5)
    batch, labels = next(iter(training_batches(data, 7, seed=3, epochs=1, augment=True)))
    np.testing.assert_allclose(sorted(batch[:, 0].numpy()), sorted(fed[:, 0]), rtol=1e-6)
    assert labels.shape == (7, 3)


def test_tokens_stay_integers():
    tokens = np.random.default_rng(0).integers(0, 30_000, (10, 5))
    data = data_of(tokens)
    assert data.mean is None and data.train.images.dtype == np.int32
    fed = normalise(data.test.images, data)
    assert fed.dtype == "int32"
    np.testing.assert_array_equal(fed, tokens[:4])


@pytest.mark.parametrize(("normalize", "expected"), [("unit", 51 / 255), ("none", 51.0)])
def test_pixels_may_be_fed_from_0_to_1_or_unchanged(normalize, expected):
    images = np.full((10, 2, 2, 3), 51, np.uint8)
    data = data_of(images, normalize=normalize)
    fed = normalise(images, data)
    assert fed.dtype == "float32"
    np.testing.assert_allclose(fed, np.full(images.shape, expected), rtol=1e-6)


def test_images_are_resized():
    assert data_of(np.zeros((10, 4, 4, 3), np.uint8), image_size=3).image_shape == (3, 3, 3)


ROWS = np.zeros((10, 2))


@pytest.mark.parametrize(
    ("examples", "labels", "options", "message"),
    [
        (ROWS, LABELS / 2, {}, r"the labels of mine, train must be whole numbers .* they are float64 of shape \[10\]"),
        (
            ROWS,
            np.eye(10, dtype=int),
            {},
            r"must be whole numbers of shape \[examples\], they are int64 of shape \[10, 10",
        ),
        (ROWS, LABELS - 1, {}, "start at -1"),
        (ROWS, LABELS * 0, {}, "mine has labels of 1 class"),
        (ROWS, LABELS[:7], {}, "10 images, but labels of shape"),
        (np.zeros(10), LABELS, {}, r"must hold numbers of shape \[examples, ...\], it holds float64 of shape \[10\]"),
        (np.full((10, 2), "a"), LABELS, {}, "must hold numbers"),
        (np.where(np.eye(10) == 1, np.nan, 0.5), LABELS, {}, r"mine, train holds nan at \[0, 0\]"),
        (ROWS, LABELS, {"image_size": 8}, "image_size=8 is for images as uint8"),
        (ROWS, LABELS, {"normalize": "unit"}, "normalize=unit is for pixels, mine holds float32"),
    ],
)
def test_arrays_that_are_not_as_they_should_be_are_refused(examples, labels, options, message):
    with pytest.raises(TostError, match=message):
        data_of(examples, labels, **options)


def test_parts_must_hold_examples_of_one_shape():
    with pytest.raises(TostError, match=r"the parts of mine hold examples of several shapes: \[\(2,\), \(3,\)\]"):
        from_arrays("mine", (ROWS, LABELS), (np.zeros((4, 3)), LABELS[:4]), CONFIG)


def test_parts_of_different_types_are_refused():
    images = np.arange(10 * 12, dtype=np.uint8).reshape(10, 2, 2, 3)
    with pytest.raises(TostError, match=r"several types \(train uint8, test float32\): they must have the same scale"):
        from_arrays("mine", (images, LABELS), (images / 255, LABELS), CONFIG)


def test_integers_may_be_pixels():
    images = np.arange(10 * 12).reshape(10, 2, 2, 3) % 256
    data = data_of(images, normalize="unit")
    assert data.train.images.dtype == np.uint8
    np.testing.assert_allclose(normalise(data.test.images, data), images[:4] / 255, rtol=1e-6)
    assert data_of(images * 3).train.images.dtype == np.int32
    with pytest.raises(TostError, match="normalize=unit is for pixels, mine holds int32"):
        data_of(images * 3, normalize="unit")
    with pytest.raises(TostError, match="holds integers from 5 to 8589934597: they must fit into 32 bits"):
        data_of(np.int64([[5, 6], [2**33 + 5, 7]] * 5))


def test_labels_without_a_training_example_are_named(caplog):
    data_of(np.ones((10, 2)), np.array([1, 4] * 5))
    assert "mine has no training examples of the labels 0, 2, 3, counted from 0" in caplog.text
