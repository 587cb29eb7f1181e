import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError

L = keras.layers
GENERATOR = np.random.default_rng(3)
X = GENERATOR.normal(size=(8, 6, 6, 2)).astype("float32")
Y = GENERATOR.integers(0, 4, 8)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make(penalty=None):
    image = keras.Input((6, 6, 2))
    x = L.Conv2D(3, 3, padding="same", activation="relu", kernel_regularizer=penalty, name="stem")(image)
    x = L.Conv2D(3, 3, padding="same", activation="relu", name="conv")(x)
    return keras.Model(image, L.Dense(4, name="logits")(L.Flatten()(x)))


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("softmax", [False, True])
def test_loss_by_hand(softmax):
    teacher, student = make(), make(keras.regularizers.L2(0.3))
    if softmax:
        teacher = keras.Sequential([teacher, L.Softmax()])
    distiller = tost.Distiller(student, teacher, weight=0.7, temperature=3.0)
    distiller.compile("sgd", LOSS)
    logits, target = student(X).numpy(), teacher(X).numpy()
    target = np.log(target) if softmax else target
    hard = -log_softmax(logits)[np.arange(8), Y].mean()
    target, soft = log_softmax(target / 3), log_softmax(logits / 3)
    divergence = (np.exp(target) * (target - soft)).sum(-1).mean()
    penalty = 0.3 * (student.get_layer("stem").kernel.numpy() ** 2).sum()
    expected = 0.3 * hard + 0.7 * 9 * divergence + penalty
    assert float(distiller.compute_loss(X, tf.constant(Y), tf.constant(logits))) == pytest.approx(expected, rel=1e-4)


def test_it_learns_from_the_teacher_with_ghosts_and_without():
    teacher = make()
    ghosted = tost.GhostModel(tost.sparsify(make(), sparsity=0.4, mask="magnitude"), skips="identity")
    distiller = tost.Distiller(ghosted, teacher, weight=1.0, temperature=1.0)
    np.testing.assert_array_equal(distiller(X), ghosted(X))
    assert len(distiller.weights) == len(ghosted.weights) and distiller.plain is ghosted.plain
    before = teacher.get_weights()
    distiller.compile(keras.optimizers.Adam(0.05), LOSS, ["accuracy"])
    history = distiller.fit(X, Y, epochs=12, verbose=0, callbacks=[tost.GhostSchedule(end_epoch=6)]).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    for one, other in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert tost.strip(distiller).count_params() == make().count_params()


def test_wrong_arguments_and_files(tmp_path):
    with pytest.raises(TostError, match="a teacher is a tf_keras model or a function .* got str"):
        tost.Distiller(make(), "teacher")
    for wrong in ({"weight": 1.3}, {"temperature": 0}):
        with pytest.raises(TostError, match=f"{next(iter(wrong))} is .*, it must be"):
            tost.Distiller(make(), make(), **wrong)
    distiller = tost.Distiller(make(), lambda images: tf.zeros((len(images), 4)))
    with pytest.raises(TostError, match="has a teacher, which is in no file"):
        distiller.save(tmp_path / "model.keras")
    distiller.save_weights(tmp_path / "weights.h5")
    distiller.load_weights(tmp_path / "weights.h5")


def test_a_teacher_of_other_classes_is_refused(small_model):
    other = keras.Sequential([keras.layers.Flatten(input_shape=(6, 6, 2)), keras.layers.Dense(7)])
    with pytest.raises(TostError, match="the teacher .* has 7 classes, the student 4: they must have the same"):
        tost.Distiller(tost.sparsify(small_model, sparsity=0.3), other)


def test_weights_of_examples_count_for_both_losses():
    distiller = tost.Distiller(make(), make(), weight=0.7, temperature=3.0)
    distiller.compile("sgd", LOSS)
    outputs, labels = distiller(X), tf.constant(Y)
    weights = tf.constant(np.arange(8.0) / 3)
    single = [float(distiller.compute_loss(X[i : i + 1], labels[i : i + 1], outputs[i : i + 1])) for i in range(len(Y))]
    expected = np.mean(np.array(single) * weights.numpy())
    assert float(distiller.compute_loss(X, labels, outputs, weights)) == pytest.approx(expected, rel=1e-4)
