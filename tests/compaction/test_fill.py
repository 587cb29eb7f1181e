"""Channels that stay because they fill up a block."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compaction.training_view import TrainingView
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights

layers = keras.layers


def chain(unread: int, reading_unread: bool = False) -> keras.Model:
    """Convolutions of 12, 10 and 4 channels; nothing reads the last `unread` of the 12, nor the last 7 of the 10.

    With `reading_unread` these 7 read channels of the 12 that nothing else reads.
    """
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(12, 3, padding="same", name="first")(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(10, 3, padding="same", name="second")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="third")(x))
    model = keras.Model(image, layers.Dense(2, name="logits")(x))
    second, third = (model.get_layer(name).kernel for name in ("second", "third"))
    second.assign(cleared(second, np.s_[:, :, 12 - unread :, : 3 if reading_unread else None]))
    third.assign(cleared(third, np.s_[:, :, 3:]))
    return model


def cleared(weight, where: tuple) -> np.ndarray:
    values = weight.numpy()
    values[where] = 0
    return values


def channels(report) -> tuple[int, int]:
    return report.after["first"].channels, report.after["second"].channels


@pytest.mark.parametrize(
    ("unread", "multiple", "expected"),
    [
        (5, 1, (7, 3)),
        (5, 4, (8, 4)),
        (5, 5, (10, 5)),
        (5, 6, (12, 6)),
        (5, 7, (7, 7)),
        (2, 7, (10, 7)),  # the first has not enough for 14
        (11, 4, (1, 4)),
        (5, 16, (7, 3)),
    ],
)
def test_layers_keep_a_multiple_where_there_are_enough_channels(compacted_to, unread, multiple, expected):
    assert channels(compacted_to(chain(unread), multiple)) == expected


def test_channels_that_need_others_do_not_fill(compacted_to):
    """The second layer would need up to 12 channels of the first for each it gets back."""
    assert channels(compacted_to(chain(5, reading_unread=True), 5)) == (10, 3)
    assert channels(compacted_to(chain(5, reading_unread=True), 1)) == (7, 3)


@pytest.fixture
def compacted_to():
    """A function that compacts a model to a multiple, and checks its outputs."""

    def check(model: keras.Model, multiple: int):
        images = np.random.default_rng(3).normal(0.3, 1, (5, *model.input_shape[1:])).astype(np.float32)
        small, report = tost.compact(model, multiple=multiple)
        np.testing.assert_allclose(small(images), model(images), rtol=0, atol=2e-6)
        return report

    return check


def test_constants_that_a_removed_term_adds(compacted_to):
    """The branch adds 0.7 to the two channels that go through, and an unknown number to the one that fills."""
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(5, 3, padding="same", name="first")(image)
    y = layers.Conv2D(5, 3, padding="same", name="branch")(image)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Add()([x, y])))
    model = keras.Model(image, layers.Dense(2, name="logits")(x))
    branch, logits = model.get_layer("branch"), model.get_layer("logits")
    branch.kernel.assign(cleared(branch.kernel, np.s_[..., [0, 1, 3]]))
    branch.bias.assign(np.full(5, 0.7))
    logits.kernel.assign(cleared(logits.kernel, np.s_[2:]))
    report = compacted_to(model, 3)
    assert "branch" not in report.after
    assert report.after["first"].channels == 3
    assert compacted_to(model, 4).after["first"].channels == 2  # only one more has a known number in the branch


@pytest.mark.parametrize(("dtype", "stay"), [("float32", 24), ("mixed_bfloat16", 32)])
def test_training_without_dead_channels_fills_up_blocks(dtype, stay):
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(37, 3, padding="same", name="first", dtype=dtype)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="second", dtype=dtype)(x))
    model = keras.Model(image, layers.Dense(2, name="logits", dtype=dtype)(x))
    masks = {path: np.ones(weight.shape) for path, weight in prunable_weights(model).items()}
    masks["second/kernel"][:, :, 17:] = 0  # 17 are needed
    sparse = tost.sparsify(model, masks)
    assert TrainingView(sparse).report.after["first"].channels == stay


@pytest.mark.parametrize("multiple", [0, -3, 2.5, True])
def test_multiple_that_is_not_a_number_of_channels(multiple):
    with pytest.raises(TostError, match=f"multiple is {multiple}, it must be (a whole number, )?at least 1"):
        tost.compact(chain(5), multiple=multiple)


def test_parts_of_a_concatenation_that_are_gone_stay_so():
    """Squeeze and excitation after a concatenation, of whose second part nothing is read."""
    image = keras.Input((6, 6, 3))
    x = layers.Concatenate()([layers.Conv2D(4, 3, name="first")(image), layers.Conv2D(8, 3, name="second")(image)])
    gates = layers.Dense(12, "sigmoid")(layers.GlobalAveragePooling2D()(image))
    x = layers.Conv2D(5, 1, name="third")(layers.Multiply()([x, layers.Reshape((1, 1, 12))(gates)]))
    model = keras.Model(image, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x)))
    third = model.get_layer("third").kernel
    third.assign(cleared(third, np.s_[:, :, 4:]))
    small, _ = tost.compact(model, multiple=8)
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(small(images), model(images), atol=1e-5)
