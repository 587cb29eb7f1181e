import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.training.distill import DistilledModel
from tost_tf.training.losses import Distillation, cross_entropy
from tost_tf.training.teacher import Teacher


def teach(images):
    """Logits of a fixed linear teacher."""
    weights = np.random.default_rng(5).normal(size=(6 * 6 * 2, 4)).astype(np.float32)
    return tf.reshape(images, (-1, 6 * 6 * 2)) @ weights


def trained(make, loss, small_model, images, labels):
    masks = tost.masks.random(small_model, sparsity=0.5, seed=2)
    model = make(tost.sparsify(small_model, masks))
    model.compile(keras.optimizers.SGD(0.1), loss, ["accuracy"])
    history = model.fit(images, labels, batch_size=10, epochs=2, shuffle=False, verbose=0)
    return model.plain.get_weights(), history.history


def test_weight_0_trains_the_plain_weights_to_the_last_bit(small_model, small_images):
    plain, history = trained(tost.GhostModel, cross_entropy(0.1), small_model, *small_images)
    keras.utils.set_random_seed(7)
    taught, taught_history = trained(
        lambda sparse: DistilledModel(sparse, teacher=teach), Distillation(0.0, 4.0, 0.1), small_model, *small_images
    )
    assert history == taught_history
    assert all(np.array_equal(one, other) for one, other in zip(plain, taught, strict=True))


def test_weight_1_brings_the_student_to_its_teacher(small_model, small_images):
    images, _ = small_images
    wrong_labels = np.eye(4, dtype=np.float32)[np.zeros(20, int)]
    model = DistilledModel(small_model, "none", "none", teacher=teach)
    model.compile(keras.optimizers.Adam(0.02), Distillation(1.0, 2.0))
    model.fit(images, wrong_labels, batch_size=20, epochs=150, verbose=0)
    # Inference needs no teacher; the labels have no say.
    agreement = np.mean(model.predict(images, verbose=0).argmax(1) == teach(images).numpy().argmax(1))
    assert agreement > 0.7


def test_loss_of_a_batch_is_that_of_labels_and_teacher(small_model, small_images):
    images, labels = small_images
    model = DistilledModel(small_model, "none", "none", teacher=teach)
    model.compile("sgd", Distillation(0.4, 3.0))
    student = model(images, training=False)
    expected = Distillation(0.4, 3.0)(np.concatenate([labels, teach(images)], 1), student)
    assert model.evaluate(images, labels, batch_size=20, verbose=0) == pytest.approx(float(expected), rel=1e-5)


def test_two_replicas_learn_from_a_saved_model_as_one_does(tmp_path, two_replicas):
    generator = np.random.default_rng(1)
    images = generator.normal(size=(12, 5, 5, 2)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[generator.integers(0, 3, 12)]
    no_images = LabelledImages(np.zeros((1, 5, 5, 2), np.uint8), np.zeros(1, np.int32))
    data = ImageData(no_images, no_images, no_images, 3, (0.3, 0.4), (0.2, 0.6))

    def network(seed):
        keras.utils.set_random_seed(seed)
        layers = keras.layers
        stack = [layers.Conv2D(4, 3, input_shape=(5, 5, 2)), layers.ReLU(), layers.Flatten(), layers.Dense(3)]
        return keras.Sequential(stack)

    tost.export.saved_model(network(1), tmp_path / "teacher", data.mean, data.deviation)
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            model = DistilledModel(network(2), "none", "none", teacher=Teacher(tmp_path / "teacher", data))
            model.compile(keras.optimizers.SGD(0.05), Distillation(0.6, 3.0, 0.1))
        losses = model.fit(images, labels, batch_size=6, epochs=3, shuffle=False, verbose=0).history["loss"]
        results.append((losses, model.plain.get_weights()))
    (one_loss, one), (two_loss, two) = results
    np.testing.assert_allclose(one_loss, two_loss, rtol=1e-5)
    for before, after in zip(one, two, strict=True):
        np.testing.assert_allclose(before, after, atol=1e-5)


def test_teacher_is_not_part_of_the_model(small_model, tmp_path, small_images):
    weights = len(small_model.weights)
    model = DistilledModel(small_model, "none", "none", teacher=teach)
    model.compile("sgd", Distillation(0.4, 3.0))
    assert len(model.weights) == weights + 1  # which view is in use
    assert tost.strip(model, ghosts="remove").get_config() == small_model.get_config()
