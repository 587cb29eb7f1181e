import numpy as np
import pytest

from tost_tf.compat import tf
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.data.pipeline import balanced_batches, evaluation_batches, normalise, steps_per_epoch, training_batches
from tost_tf.errors import TostError


def numbers(data, images) -> list[int]:
    """The number each image of the test data is filled with."""
    pixels = (np.asarray(images)[..., 1] * data.deviation[1] + data.mean[1]) * 255
    return np.round(pixels.max(axis=(1, 2))).astype(int).tolist()


def epoch_numbers(data, batches, steps) -> list[list[int]]:
    flat = [numbers(data, images) for images, _ in batches]
    return [sum(flat[start : start + steps], []) for start in range(0, len(flat), steps)]


def test_every_epoch_has_every_image_once_in_another_order(small_data):
    batches = list(training_batches(small_data, 4, seed=3, epochs=3, augment=False))
    assert [len(images) for images, _ in batches] == [4, 4, 3] * 3
    epochs = epoch_numbers(small_data, batches, steps_per_epoch(11, 4))
    assert [sorted(epoch) for epoch in epochs] == [list(range(1, 12))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_labels_stay_with_their_images(small_data):
    for augment in (False, True):
        for images, labels in training_batches(small_data, 4, seed=3, epochs=2, augment=augment):
            assert [number % 4 for number in numbers(small_data, images)] == labels.numpy().argmax(axis=1).tolist()
            np.testing.assert_array_equal(labels.numpy().sum(axis=1), 1)


def test_later_epochs_are_the_same_whether_or_not_earlier_ones_were_run(small_data):
    whole = list(training_batches(small_data, 4, seed=3, epochs=5, augment=True))
    resumed = list(training_batches(small_data, 4, seed=3, epochs=5, first_epoch=3, augment=True))
    assert len(resumed) == 6
    for (images, labels), (images_again, labels_again) in zip(whole[9:], resumed, strict=True):
        np.testing.assert_array_equal(images, images_again)
        np.testing.assert_array_equal(labels, labels_again)


def test_epoch_resumes_at_any_step(small_data):
    whole = list(training_batches(small_data, 4, seed=3, epochs=3, augment=True))
    resumed = list(training_batches(small_data, 4, seed=3, epochs=3, first_epoch=1, first_step=2, augment=True))
    assert len(resumed) == 4 and len(resumed[0][0]) == 3  # the last, smaller batch of the second epoch
    for (images, labels), (images_again, labels_again) in zip(whole[5:], resumed, strict=True):
        np.testing.assert_array_equal(images, images_again)
        np.testing.assert_array_equal(labels, labels_again)


def shifts(crop_padding, crop_probabilities=None):
    """How far 40 images were shifted along rows and columns, and whether they were flipped."""
    images = np.zeros((40, 9, 9, 1), np.uint8)
    images[:, 4, 4], images[:, 4, 5] = 200, 100  # a bright pixel, a darker one to its right
    part = LabelledImages(images, np.zeros(40, np.int32))
    data = ImageData(part, part, part, 2, (0.0,), (1.0,))
    ((batch, _),) = training_batches(
        data, 40, seed=3, epochs=1, crop_padding=crop_padding, crop_probabilities=crop_probabilities
    )
    found = []
    for image in batch.numpy()[..., 0]:
        bright, darker = (np.argwhere(np.isclose(image, value / 255))[0] for value in (200, 100))
        found.append((*(bright - 4).tolist(), bool(darker[1] < bright[1])))
    return found


def test_images_are_shifted_by_no_more_than_the_padding():
    assert set(shifts(0)) == {(0, 0, False), (0, 0, True)}
    assert {row for row, _, _ in shifts(2)} == {column for _, column, _ in shifts(2)} == {-2, -1, 0, 1, 2}
    assert {row for row, _, _ in shifts(None)} == {-1, 0, 1}  # an eighth of 9


def test_images_are_cropped_with_the_probability_of_their_epoch():
    assert shifts(2, np.float32([1])) == shifts(2)
    assert {(row, column) for row, column, _ in shifts(2, np.float32([0]))} == {(0, 0)}
    always, sometimes = shifts(2), shifts(2, np.float32([0.3]))
    cropped = [one == other for one, other in zip(always, sometimes, strict=True) if one[:2] != (0, 0)]
    assert 0.1 < np.mean(cropped) < 0.5
    assert all(one == other or other[:2] == (0, 0) for one, other in zip(always, sometimes, strict=True))
    assert [flip for *_, flip in always] == [flip for *_, flip in sometimes]


def test_probability_of_crops_may_change_while_images_are_drawn(small_data, monkeypatch):
    monkeypatch.setattr("tost_tf.data.pipeline.BATCHES_AHEAD", 4)
    probabilities = tf.Variable([0.0, 0.0, 0.0])
    epochs = [range(0, 3), range(3, 6), range(6, 9)]
    with_crops, without = (
        list(training_batches(small_data, 4, seed=3, epochs=3, crop_padding=padding)) for padding in (2, 0)
    )
    found = []
    for batch in training_batches(small_data, 4, 3, 3, crop_padding=2, crop_probabilities=probabilities):
        found.append(batch)
        probabilities.assign([0.0, 0.0, 1.0])
    for epoch, expected in zip(epochs, (without, without, with_crops), strict=True):
        for step in epoch:
            np.testing.assert_array_equal(found[step][0], expected[step][0])


def test_seed_decides_order_and_augmentation(small_data):
    first, again, other = (
        next(iter(training_batches(small_data, 11, seed=seed, epochs=1, augment=True)))[0].numpy() for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_normalisation_by_hand(small_data):
    pixels = np.full((1, 1, 1, 3), 51, np.uint8)  # 0.2
    np.testing.assert_allclose(
        normalise(pixels, small_data)[0, 0, 0], [(0.2 - 0.1) / 0.5, 0.0, (0.2 - 0.3) / 0.2], atol=1e-6
    )


def test_evaluation_keeps_the_order(small_data):
    batches = list(evaluation_batches(small_data, small_data.test))
    assert sum((numbers(small_data, images) for images, _ in batches), []) == [200, 201, 202, 203, 204]
    np.testing.assert_array_equal(batches[0][1].numpy().argmax(axis=1), small_data.test.labels)


def test_balanced_sample_has_as_many_of_each_class(small_data):
    batches = list(balanced_batches(small_data, 2, seed=3))
    assert len(batches) == 1
    found = numbers(small_data, batches[0][0])
    assert len(set(found)) == 8 and sorted(number % 4 for number in found) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [number % 4 for number in found] == batches[0][1].numpy().argmax(axis=1).tolist()
    assert numbers(small_data, next(iter(balanced_batches(small_data, 2, seed=3)))[0]) == found
    assert numbers(small_data, next(iter(balanced_batches(small_data, 2, seed=4)))[0]) != found
    with pytest.raises(TostError, match="3 training images of each class are requested, class 0 has 2"):
        balanced_batches(small_data, 3, seed=3)
