"""Masks with a pattern that change."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.dynamic.drop_grow import drop_and_grow
from tost_tf.dynamic.growth import RANDOM
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.errors import TostError
from tost_tf.masks.patterns.pattern import ORDINARY, parsed_pattern
from tost_tf.masks.sparsify import masks_of, sparsify
from tost_tf.training.optimizer import CoupledSGD

WEIGHT = np.array([[0.2, 0.0, 5.0], [0.0, 3.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.1, 2.0]])
MASK = (WEIGHT != 0).astype(np.uint8)
GRADIENTS = np.array([[0.0, 1, 9], [7, 0, 2], [0, 8, 1], [3, 2, 5.0]])


def updated(pattern, weight, mask, gradients, fraction):
    division = parsed_pattern(pattern).divide(weight.shape, ORDINARY)
    return drop_and_grow(weight, np.array(mask, np.uint8), fraction, gradients, division=division).tolist()


def test_n_of_m_grows_where_it_dropped():
    # Of 6 weights 2 are dropped, 0.1 and 0.2; what grows is the largest of the same two inputs.
    assert updated("1:2", WEIGHT, MASK, GRADIENTS, 0.4) == [[0, 0, 1], [1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_filters_keep_their_number_of_weights():
    # The same two are dropped; of the first output 7 grows, of the second 8.
    assert updated("fan_in", WEIGHT, MASK, GRADIENTS, 0.4) == [[0, 0, 1], [1, 1, 0], [1, 1, 0], [0, 0, 1]]
    gradients = np.array([[0.0, 1, 9], [1, 0, 2], [0, 2, 1], [3, 1, 5.0]])
    assert updated("fan_in", WEIGHT, MASK, gradients, 0.4) == [[0, 0, 1], [0, 1, 0], [1, 1, 0], [1, 0, 1]]


def test_blocks_are_dropped_and_grown_whole():
    weight = np.array([[1.0, 2, 0], [3, 4, 0], [0, 0, 5], [0, 0, 0.5]])
    mask = [[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]]
    # Of blocks of two inputs: sums 4, 6 and 5.5; 0.4 of 3 is one. |1| + |6| grows.
    gradients = np.array([[0.0, 0, 4], [0, 0, 2], [1, 0, 0], [6, 0, 0]])
    assert updated("block:2x1", weight, mask, gradients, 0.4) == [[0, 1, 0], [0, 1, 0], [1, 0, 1], [1, 0, 1]]


@pytest.fixture
def network() -> keras.Model:
    layers = keras.layers
    image = keras.Input((6, 6, 4))
    x = layers.ReLU()(layers.Conv2D(8, 3, padding="same", name="one")(image))
    x = layers.ReLU()(layers.Conv2D(12, 3, name="two")(x))
    return keras.Model(image, layers.Dense(4, name="logits")(layers.GlobalAveragePooling2D()(x)))


def updater_of(network, pattern, **given):
    sparse = sparsify(network, tost.masks.random(network, pattern=pattern, **given))
    optimizer = CoupledSGD()
    optimizer.build(sparse.trainable_variables)
    return sparse, MaskUpdater(sparse, optimizer, pattern=pattern)


@pytest.mark.parametrize(
    ("pattern", "given"), [("2:4", {}), ("fan_in", {"sparsity": 0.6}), ("block:2x4", {"sparsity": 0.7})]
)
def test_masks_keep_their_pattern_and_numbers(network, pattern, given):
    sparse, updater = updater_of(network, pattern, **given)
    before = masks_of(sparse)
    done = updater.update(RANDOM, 0.5, step=3)
    after = masks_of(sparse)
    assert after.pattern == pattern and after != before and done.grown == done.dropped > 0
    assert {path: mask.sum() for path, mask in after.items()} == {path: mask.sum() for path, mask in before.items()}


def test_granet_prunes_towards_n_of_m(network):
    sparse = sparsify(network, tost.masks.random(network, pattern="3:4"))
    optimizer = CoupledSGD()
    optimizer.build(sparse.trainable_variables)
    updater = MaskUpdater(sparse, optimizer, pattern="1:4")
    updater.update(RANDOM, 0.3, step=1, sparsity=0.45)
    assert masks_of(sparse).pattern == "2:4"
    updater.update(RANDOM, 0.3, step=2, sparsity=0.75)
    assert masks_of(sparse).pattern == "1:4"


def test_masks_without_the_pattern_are_refused(network):
    sparse = sparsify(network, tost.masks.random(network, sparsity=0.6))
    optimizer = CoupledSGD()
    optimizer.build(sparse.trainable_variables)
    with pytest.raises(TostError, match="the mask of one/kernel does not have the pattern fan_in"):
        MaskUpdater(sparse, optimizer, pattern="fan_in")


def test_channels_do_not_grow(network):
    _, updater = updater_of(network, "channels", sparsity=0.6)
    with pytest.raises(TostError, match="channels cannot change: a channel that grows has zeros before and behind"):
        updater.update(RANDOM, 0.5, step=3)


@pytest.mark.parametrize("callback", [tost.RigL(1, end_fraction=1.0), tost.SET(1), tost.GraNet(0.75, 1)])
def test_callbacks_keep_the_pattern_they_find(network, callback):
    images = np.random.default_rng(1).normal(size=(24, 6, 6, 4)).astype(np.float32)
    labels = np.eye(4, dtype=np.float32)[np.arange(24) % 4]
    sparse = sparsify(network, pattern="2:4")
    sparse.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    callback.data = (images, labels)
    before = masks_of(sparse)
    sparse.fit(images, labels, batch_size=8, epochs=2, verbose=0, callbacks=[callback])
    assert masks_of(sparse) != before
    assert masks_of(sparse).pattern == ("1:4" if isinstance(callback, tost.GraNet) else "2:4")


def test_channels_are_refused_before_training(network):
    sparse = sparsify(network, sparsity=0.6, pattern="channels", mask="random")
    sparse.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    data = (np.zeros((8, 6, 6, 4), np.float32), np.eye(4, dtype=np.float32)[np.arange(8) % 4])
    with pytest.raises(TostError, match="masks with the pattern channels cannot change"):
        sparse.fit(*data, epochs=2, verbose=0, callbacks=[tost.SET(1)])


@pytest.mark.parametrize("pattern", ["channels", "2:4"])
def test_superposed_tickets_have_the_pattern(network, pattern):
    images = np.random.default_rng(1).normal(size=(24, 6, 6, 4)).astype(np.float32)
    labels = np.eye(4, dtype=np.float32)[np.arange(24) % 4]
    given = {"sparsity": 0.6} if pattern == "channels" else {}
    sparse = sparsify(network, pattern=pattern, mask="random", **given)
    sparse.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(from_logits=True))
    growth = "none" if pattern == "channels" else "random"
    tickets = tost.SupTickets(cycle_epochs=1, cycle_fraction=0.5, growth=growth, data=(images, labels))
    before = masks_of(sparse)
    sparse.fit(images, labels, batch_size=8, epochs=4, verbose=0, callbacks=[tickets])
    assert masks_of(sparse).pattern == pattern and masks_of(sparse).kept == before.kept
    assert tost.strip(sparse).predict(images, verbose=0).std() > 0
