"""RigL, SET, GraNet and Sup-tickets as callbacks, with any optimizer of Keras."""

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import quick
from tost_tf.compat import keras, tf
from tost_tf.dynamic.dense_gradients import DenseGradients
from tost_tf.errors import TostError
from tost_tf.graph.slots import first_values, slots_of
from tost_tf.masks.sparsify import masked_kernels, masks_of
from tost_tf.training.adamw import AdamW
from tost_tf.training.ham import HAM

L, OPTIMIZER = keras.layers, keras.optimizers
GENERATOR = np.random.default_rng(3)
X = GENERATOR.normal(size=(24, 5)).astype("float32")
Y = np.eye(3, dtype="float32")[GENERATOR.integers(0, 3, 24)]
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def make(sparsity=0.6):
    layers = [keras.Input((5,)), L.Dense(8, name="a"), L.BatchNormalization(name="bn"), L.ReLU(), L.Dense(3, name="b")]
    return tost.sparsify(keras.Sequential(layers, name="net"), sparsity=sparsity, mask="random")


OPTIMIZERS = {
    "sgd": lambda: OPTIMIZER.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: OPTIMIZER.Adam(0.01, amsgrad=True, use_ema=True),
    "own_adam": lambda: AdamW(0.01, amsgrad=True),
    "lion": lambda: OPTIMIZER.Lion(0.01),
    "ftrl": lambda: OPTIMIZER.Ftrl(0.01),
    "legacy": lambda: OPTIMIZER.legacy.Adam(0.01),
    "scaled": lambda: keras.mixed_precision.LossScaleOptimizer(OPTIMIZER.RMSprop(0.01, momentum=0.5, centered=True)),
    "own": lambda: tost.OrthogonalSGD(0.05),
}
COUNTS = {"sgd": 1, "adam": 4, "lion": 1, "ftrl": 2, "legacy": 2, "scaled": 3, "own": 1, "own_adam": 3}


class Looks(keras.callbacks.Callback):
    """Weights that grew are zero, and so is what the optimizer keeps for them; the masks hold after each step."""

    def __init__(self, rigl, slots):
        super().__init__()
        self.rigl, self.slots, self.grown = rigl, slots, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.before = {path: masked.mask.numpy() for path, masked in masked_kernels(self.model.plain).items()}

    def on_train_batch_end(self, batch, logs=None):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        for path, masked in masked_kernels(self.model.plain).items():
            mask, slots = masked.mask.numpy(), slots_of(optimizer, masked.kernel)
            assert len(slots) == self.slots
            grown = (mask == 1) & (self.before[path] == 0)
            self.grown += grown.sum()
            first = first_values(optimizer, masked.kernel)
            for variable, value in zip((masked.kernel, *slots), (0.0, *first), strict=True):
                np.testing.assert_allclose(variable.numpy()[grown | (mask == 0)], value, err_msg=variable.name)
            assert set(first) == ({0.0, float(np.float32(0.1))} if isinstance(optimizer, OPTIMIZER.Ftrl) else {0.0})
            assert any(np.any(slot.numpy() != 0) for slot in slots)


@pytest.mark.parametrize("name", quick(OPTIMIZERS, ("scaled", "own", "own_adam")))
def test_rigl_with_any_optimizer(name):
    ghosted = tost.GhostModel(make())
    ghosted.compile(OPTIMIZERS[name](), LOSS, ["accuracy"])
    rigl = tost.RigL(update_every=2)
    looks = Looks(rigl, COUNTS[name])
    callbacks = [tost.GhostSchedule(end_epoch=1), rigl, looks]
    history = ghosted.fit(X, Y, batch_size=6, epochs=4, verbose=0, callbacks=callbacks)
    # 16 steps, three quarters are 12, the last update is before them.
    assert [row["step"] for row in rigl.updates] == [2, 4, 6, 8, 10]
    assert looks.grown == sum(row["grown"] for row in rigl.updates) > 0
    assert masks_of(ghosted.plain).sparsity == pytest.approx(0.6, abs=0.02)
    assert np.isfinite(history.history["loss"]).all()


def test_gradients_of_one_batch_are_those_of_the_dense_network_and_leave_no_trace():
    model = make()
    model.compile("sgd", LOSS, ["accuracy"])
    model.fit(X, Y, verbose=0)
    before = model.get_weights()
    metrics = [float(variable) for metric in model.metrics for variable in metric.variables]
    gradients = DenseGradients(model, [(X[:6], Y[:6]), (X[6:], Y[6:])])
    found = [gradients(), gradients(), gradients()]
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert metrics == [float(variable) for metric in model.metrics for variable in metric.variables]
    dense = tost.strip(model)
    kernels = {"a/kernel": dense.get_layer("a").kernel, "b/kernel": dense.get_layer("b").kernel}
    with tf.GradientTape() as tape:
        loss = LOSS(Y[:6], dense(X[:6], training=True))
    for path, gradient in tape.gradient(loss, kernels).items():
        np.testing.assert_allclose(found[0][path], gradient, atol=1e-6)
        np.testing.assert_array_equal(found[2][path], found[0][path])
        assert np.any(found[1][path] != found[0][path])
    assert not model.layers[0].dense_gradients


def test_set_and_granet():
    model = make(sparsity=0.3)
    model.compile("adam", LOSS)
    random, granet = tost.SET(update_every=2, dense_layers="^b$"), tost.GraNet(0.6, update_every=2, data=(X, Y))
    before = masks_of(model)
    model.fit(X, Y, batch_size=6, epochs=2, verbose=0, callbacks=[random])
    after = masks_of(model)
    assert after.sparsity == before.sparsity and after["a/kernel"].tolist() != before["a/kernel"].tolist()
    assert after["b/kernel"].tolist() == before["b/kernel"].tolist()
    model.fit(X, Y, batch_size=6, epochs=4, verbose=0, callbacks=[granet])
    assert [row["sparsity"] for row in granet.updates][-1] == pytest.approx(0.6, abs=0.01)
    assert granet.updates[0]["sparsity"] > 0.3


@pytest.mark.parametrize("variant", ["caa", "cima"])
def test_sup_tickets_leave_the_superposition(variant):
    model = make()
    model.compile("adam", LOSS, ["accuracy"])
    tickets, seen = tost.SupTickets(variant, cycle_epochs=1, cycle_fraction=0.5, data=(X, Y), cima_factor=0.3), []
    see = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(tost.strip(model).get_weights()))
    kept = masks_of(model).kept
    model.fit(X, Y, batch_size=6, epochs=4, verbose=0, callbacks=[see, tickets])
    assert masks_of(model).kept == kept
    final = tost.strip(model)
    # The biases are averaged and not pruned: of the end of epoch 2 and of those of the cycles.
    bias = [weights[-1] for weights in seen[1:]]
    expected = sum(bias) / 3 if variant == "caa" else 0.7 * (0.7 * bias[0] + 0.3 * bias[1]) + 0.3 * bias[2]
    np.testing.assert_allclose(final.get_weights()[-1], expected, rtol=1e-5)
    hidden = final.layers[0](X).numpy()
    np.testing.assert_allclose(final.get_layer("bn").moving_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)


def test_what_is_missing_is_said_at_the_start_of_fit():
    dense = keras.Sequential([keras.Input((5,)), L.Dense(3)])
    dense.compile("adam", LOSS)
    for callback in (tost.RigL(), tost.SET(), tost.GraNet(0.9), tost.SupTickets()):
        with pytest.raises(TostError, match=f"{type(callback).__name__} changes masks, and .* has none"):
            dense.fit(X, Y, verbose=0, callbacks=[callback])
    model = make()
    model.compile("adam", LOSS)
    for callback, told in (
        (tost.RigL(), r"needs data for gradients, which Adam does not keep: give RigL\(data"),
        (tost.SET(update_every=100), "update_every=100 leaves no update"),
        (tost.GraNet(0.3, data=(X, Y)), "GraNet prunes to sparsity 0.3, and net starts at 0.5938"),
        (tost.SupTickets(data=(X, Y), cycle_fraction=0.5), "no ticket would be made"),
    ):
        with pytest.raises(TostError, match=told):
            model.fit(X, Y, verbose=0, epochs=2, callbacks=[callback])
    for wrong in (
        lambda: tost.RigL(update_every=0),
        lambda: tost.SET(drop_fraction=1.3),
        lambda: tost.GraNet(1.3),
        lambda: tost.SupTickets("mean"),
    ):
        with pytest.raises(TostError):
            wrong()


def test_after_rigl_any_optimizer_leaves_pruned_weights_zero():
    model = make()
    for optimizer, callbacks in ((tost.OrthogonalSGD(0.05), [tost.RigL(update_every=2)]), ("sgd", [])):
        model.compile(optimizer, LOSS)
        model.fit(X, Y, batch_size=6, epochs=2, verbose=0, callbacks=callbacks)
    for masked in masked_kernels(model).values():
        assert not masked.kernel.numpy()[masked.mask.numpy() == 0].any() and masked.kernel.numpy().any()


def test_the_same_optimizer_goes_on_with_rigl():
    model = make()
    model.compile(tost.OrthogonalSGD(0.05), LOSS)
    for _ in range(2):
        rigl = tost.RigL(update_every=2)
        model.fit(X, Y, batch_size=6, epochs=2, verbose=0, callbacks=[rigl])
        assert [row["grown"] > 0 for row in rigl.updates] == [True, True]


def test_clipping_is_by_the_gradients_of_the_sparse_network():
    model = make()
    model.compile(tost.OrthogonalSGD(0.05, clipnorm=0.1), LOSS)
    with pytest.raises(TostError, match="gradients, which OrthogonalSGD with clipping does not keep: give RigL"):
        model.fit(X, Y, verbose=0, callbacks=[tost.RigL()])
    rigl = tost.RigL(update_every=2, data=(X, Y))
    model.fit(X, Y, batch_size=6, epochs=2, verbose=0, callbacks=[rigl])
    assert rigl.updates and not model.layers[0].dense_gradients


def test_gradients_for_growth_see_weights_and_no_validation_example():
    ghosted = tost.GhostModel(make(), "none", "none")
    ghosted.compile("adam", LOSS)
    seen = []
    look = keras.callbacks.LambdaCallback(on_train_begin=lambda _: seen.append(ghosted.fit_data))
    weights = np.arange(24.0)
    fit = {"validation_split": 0.25, "sample_weight": weights, "batch_size": 6, "epochs": 2, "verbose": 0}
    ghosted.fit(X, Y, callbacks=[look, tost.RigL(update_every=2)], **fit)
    for part, whole in zip(seen[0], (X, Y, weights), strict=True):
        np.testing.assert_array_equal(part, whole[:18])
    model = make()
    model.compile("sgd", LOSS)
    plain, weighted = (DenseGradients(model, [(X, Y, w)])() for w in (np.ones(24), np.full(24, 3.0)))
    for path, gradient in plain.items():
        np.testing.assert_allclose(weighted[path], 3 * gradient, rtol=1e-4, atol=1e-7)


def test_what_would_pass_updates_by_or_end_training_is_refused():
    model = make()
    model.compile("adam", LOSS, steps_per_execution=2)
    for callback in (tost.RigL(data=(X, Y)), tost.SupTickets(data=(X, Y))):
        with pytest.raises(TostError, match=f"{type(callback).__name__} acts after single steps"):
            model.fit(X, Y, verbose=0, callbacks=[callback])
    model.compile("adam", LOSS)
    with pytest.raises(TostError, match="the data for gradients has no batch left"):
        rigl = tost.RigL(update_every=1, data=iter([(X, Y)]))
        model.fit(X, Y, batch_size=6, epochs=2, verbose=0, callbacks=[rigl])
    ghosted = tost.GhostModel(make(), "none", "none")
    ghosted.compile("adam", LOSS)
    with pytest.raises(TostError, match="fit is given an iterator, which would be short of what is taken from it"):
        ghosted.fit(iter([(X, Y)] * 4), steps_per_epoch=4, verbose=0, callbacks=[tost.RigL(update_every=1)])
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9)), LOSS)
    with pytest.raises(TostError, match="cycles set the learning rate, and that of SGD is a schedule"):
        model.fit(X, Y, verbose=0, callbacks=[tost.SupTickets(data=(X, Y))])


def test_on_several_devices_gradients_come_from_the_optimizer():
    devices = tf.config.list_logical_devices("CPU")
    assert len(devices) >= 2  # see conftest
    with tf.distribute.MirroredStrategy([device.name for device in devices[:2]]).scope():
        model = make()
        model.compile("adam", LOSS)
    with pytest.raises(TostError, match="computes them on one device only: on several use an optimizer of tost_tf"):
        model.fit(X, Y, batch_size=6, verbose=0, callbacks=[tost.RigL(data=(X, Y))])


def test_a_compiled_model_in_a_file_keeps_the_state_of_its_optimizer(tmp_path):
    model = make()
    optimizer = tost.OrthogonalSGD(0.05)
    optimizer.tweak = HAM(alpha=7.0, beta=0.3)
    model.compile(optimizer, LOSS)
    model.fit(X, Y, batch_size=6, epochs=2, verbose=0, callbacks=[tost.RigL(update_every=2)])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.tweak.get_config() == {"alpha": 7.0, "beta": 0.3} and again.optimizer.keeps_gradients
    for one, other in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    for network in (model, again):
        network.fit(X, Y, batch_size=6, shuffle=False, verbose=0)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
