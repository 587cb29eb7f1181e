"""The loss of the plain view, seen from outside."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.ghost.plain_loss import PlainLoss


def test_it_is_the_loss_by_the_batch_and_nothing_of_the_model_changes(small_model, small_images):
    images, labels = small_images
    sparse = tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.3))
    ghosted = tost.GhostModel(sparse, skip_initializer="he_normal")
    loss = PlainLoss(sparse, images, labels)
    for weight in sparse.trainable_weights:
        weight.assign(weight + 0.03)  # it is that of the weights as they are now
    before = ghosted.get_weights()
    found = loss()
    for one, other in zip(ghosted.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert ghosted.ghosts_active
    logits = np.float64(sparse(images, training=True))
    shifted = logits - logits.max(1, keepdims=True)
    expected = -np.mean(np.sum(labels * (shifted - np.log(np.exp(shifted).sum(1, keepdims=True))), axis=1))
    assert found == pytest.approx(expected, rel=1e-5)


def test_nothing_is_dropped_at_random(small_images):
    images, labels = small_images
    layers = keras.layers
    image = keras.Input((6, 6, 2))
    x = layers.Dropout(0.6)(layers.Flatten()(layers.Conv2D(3, 3, activation="relu")(image)))
    model = keras.Model(image, layers.Dense(4)(x))
    loss = PlainLoss(model, images, labels)
    assert loss() == loss() == pytest.approx(model_loss(model, images, labels), rel=1e-5)


def model_loss(model, images, labels):
    return float(keras.losses.CategoricalCrossentropy(from_logits=True)(labels, model(images, training=False)))


def test_it_works_in_the_scope_of_a_strategy(small_images, two_replicas):
    images, labels = small_images
    with two_replicas.scope():
        model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten(), keras.layers.Dense(4)])
        loss = PlainLoss(model, images, labels)
        assert loss() == pytest.approx(model_loss_outside(model, images, labels), rel=1e-5)


def model_loss_outside(model, images, labels):
    logits = np.float64(model(images))
    return float(-np.mean(np.sum(labels * (logits - np.log(np.exp(logits).sum(1, keepdims=True))), axis=1)))


def test_it_is_smoothed_as_the_loss_is(small_model, small_images):
    images, labels = small_images
    labels = np.float32(labels)
    hard, smooth = PlainLoss(small_model, images, labels)(), PlainLoss(small_model, images, labels, 0.3)()
    uniform = PlainLoss(small_model, images, np.full_like(labels, 1 / labels.shape[1]))()
    assert smooth == pytest.approx(0.7 * hard + 0.3 * uniform, rel=1e-5)
