import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf

L = keras.layers


@pytest.fixture
def ghosted():
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(3, 3, padding="same", activation="relu", activity_regularizer=keras.regularizers.L1(0.3))(x)
    h = L.BatchNormalization()(L.Conv2D(3, 3, padding="same", kernel_regularizer="l2", name="second")(h))
    model = keras.Model(x, L.Dense(4)(L.GlobalAveragePooling2D()(L.ReLU()(h))))
    return tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=0.4)))


@pytest.fixture
def step(ghosted):
    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            outputs = ghosted(images, training=True)
            loss = tf.reduce_sum(outputs**2) + tf.add_n(ghosted.losses)
        variables = ghosted.trainable_variables
        return outputs, loss, dict(zip(map(str, range(len(variables))), tape.gradient(loss, variables), strict=True))

    return step


IMAGES = tf.constant(np.random.default_rng(5).normal(size=(4, 6, 6, 2)).astype("float32"))


def eager(ghosted):
    with tf.GradientTape() as tape:
        outputs = ghosted.view(IMAGES, training=True)
        loss = tf.reduce_sum(outputs**2) + tf.add_n(ghosted.view.losses)
    return outputs, loss, tape.gradient(loss, ghosted.plain.trainable_variables)


def test_a_step_of_the_user_switches_with_the_model(ghosted, step):
    for change in (lambda: None, ghosted.remove_ghosts, ghosted.restore_ghosts):
        change()
        moving = [v for v in ghosted.plain.non_trainable_variables if "moving_mean" in v.name]
        before = moving[0].numpy()
        outputs, loss, gradients = step(IMAGES)
        assert step.experimental_get_tracing_count() == 1
        after = moving[0].numpy()
        moving[0].assign(before)
        expected = eager(ghosted)
        np.testing.assert_allclose(outputs, expected[0], atol=1e-5)
        assert float(loss) == pytest.approx(float(expected[1]), rel=1e-5)
        np.testing.assert_allclose(moving[0], after, rtol=1e-5)
        by_variable = {v.ref(): g for v, g in zip(ghosted.ghosted.trainable_variables, gradients.values(), strict=True)}
        for variable, gradient in zip(ghosted.plain.trainable_variables, expected[2], strict=True):
            np.testing.assert_allclose(by_variable[variable.ref()], gradient, atol=1e-4)
        if not ghosted.ghosts_active:
            own = {v.ref() for v in ghosted.plain.trainable_variables}
            assert all(not gradient.numpy().any() for ref, gradient in by_variable.items() if ref not in own)


def test_graphs_of_keras_have_only_one_view(ghosted, monkeypatch):
    monkeypatch.setattr(ghosted._switch, "call", None)
    ghosted.compile("sgd", "mse")
    ghosted.fit(IMAGES, np.zeros((4, 4)), verbose=0)
    ghosted.evaluate(IMAGES, np.zeros((4, 4)), verbose=0)
    ghosted.remove_ghosts()
    np.testing.assert_allclose(ghosted.predict(IMAGES, verbose=0), ghosted.plain(IMAGES), atol=1e-5)


def test_which_view_is_in_use_is_restored_with_the_weights(ghosted, tmp_path):
    names = [variable.name for variable in ghosted.ghosted.variables]
    assert not any("ghosts_active" in name for name in names) and "ghosts_active" in ghosted.weights[-1].name
    checkpoint = tf.train.Checkpoint(model=ghosted)
    checkpoint.write(str(tmp_path / "checkpoint"))
    ghosted.remove_ghosts()
    checkpoint.read(str(tmp_path / "checkpoint")).assert_consumed()
    assert ghosted.ghosts_active and ghosted.view is ghosted.ghosted


def test_a_ghosted_model_is_still_saved(ghosted, tmp_path):
    ghosted(IMAGES)
    ghosted.save(tmp_path / "folder", save_format="tf")
    outputs = tf.saved_model.load(str(tmp_path / "folder"))(IMAGES, training=False)
    np.testing.assert_allclose(outputs, ghosted.view(IMAGES), atol=1e-5)
