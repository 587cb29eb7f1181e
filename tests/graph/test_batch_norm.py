import numpy as np
import pytest

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.graph.batch_norm import recalibrate


def network() -> keras.Model:
    image = keras.Input((2,))
    x = keras.layers.BatchNormalization(name="norm", epsilon=0.5, momentum=0.9)(image)
    return keras.Model(image, keras.layers.Dense(1, name="logits")(x))


def test_statistics_by_hand_weighted_by_batches():
    model = network()
    kernel = model.get_layer("logits").kernel.numpy()
    first = np.array([[1.0, 0.0], [3.0, 4.0]], np.float32)  # means 2, 2; variances 1, 4
    second = np.array([[10.0, 6.0]], np.float32)  # variances 0, 0
    recalibrate(model, [first, second])
    norm = model.get_layer("norm")
    assert norm.moving_mean.numpy() == pytest.approx([14 / 3, 10 / 3])
    assert norm.moving_variance.numpy() == pytest.approx([2 / 3, 8 / 3])
    assert norm.momentum == 0.9 and (model.get_layer("logits").kernel.numpy() == kernel).all()


def test_a_second_layer_sees_what_the_first_normalises_in_the_batch():
    image = keras.Input((1,))
    x = keras.layers.BatchNormalization(name="one", epsilon=0.0)(image)
    model = keras.Model(image, keras.layers.BatchNormalization(name="two")(3 * x + 1))
    recalibrate(model, [np.array([[2.0], [6.0], [7.0]], np.float32)])  # mean 5, variance 14/3
    assert model.get_layer("one").moving_variance.numpy() == pytest.approx([14 / 3])
    assert model.get_layer("two").moving_mean.numpy() == pytest.approx([1.0], abs=1e-6)
    assert model.get_layer("two").moving_variance.numpy() == pytest.approx([9.0])


def test_without_normalisation_nothing_is_run():
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])

    def batches():
        raise AssertionError("a batch was asked for")
        yield

    recalibrate(model, batches())


def test_images_as_convolutions_take_them():
    image = keras.Input((2, 3, 1))
    model = keras.Model(image, keras.layers.BatchNormalization(name="norm")(image))
    images = np.arange(12.0, dtype=np.float32).reshape(2, 2, 3, 1) ** 1.5
    recalibrate(model, [images])
    assert model.get_layer("norm").moving_mean.numpy() == pytest.approx([images.mean()], rel=1e-5)
    # What Keras gathers of images is the unbiased variance.
    assert model.get_layer("norm").moving_variance.numpy() == pytest.approx([images.var(ddof=1)], rel=1e-5)


def test_one_that_normalises_in_two_places_is_refused():
    image = keras.Input((2,))
    norm = keras.layers.BatchNormalization(name="twice")
    model = keras.Model(image, norm(norm(image)))
    with pytest.raises(TostError, match="twice normalises in several places"):
        recalibrate(model, [np.ones((3, 2), np.float32)])


def test_several_inputs_are_weighted_by_examples_too():
    one, two = keras.Input((2,), name="one"), keras.Input((2,), name="two")
    x = keras.layers.BatchNormalization(name="norm")(one + two)
    model = keras.Model({"one": one, "two": two}, x)
    batches = [np.full((3, 2), 1.0, np.float32), np.full((1, 2), 9.0, np.float32)]
    recalibrate(model, [{"one": batch, "two": 0 * batch} for batch in batches])
    assert model.get_layer("norm").moving_mean.numpy() == pytest.approx([3.0, 3.0])
