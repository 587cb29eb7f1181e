import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.ghost.neuron_layer import GhostNeuron
from tost_tf.registry import GHOST_NEURONS

L = keras.layers
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)
SLOPES = np.array([[0.2, -0.4], [0.3, 0.1], [-0.6, 0.8], [0.5, -0.2]])  # θ of slopes, slopes, intercepts, intercepts


def with_theta(theta, **options):
    """A layer for two channels whose θ are the same for all inputs."""
    layer = tost.GhostDyReLU(**options)
    layer.build((None, 5, 5, 2) if layer.channel_axis == -1 else (None, 2, 5, 5))
    for weight in (*layer.squeeze, layer.excitation[0]):
        weight.assign(tf.zeros_like(weight))
    layer.excitation[1].assign(2 * np.arctanh(theta).ravel())
    return layer


def by_hand(x, alpha):
    """Channels last."""
    theta = alpha * SLOPES
    return np.maximum((1 + theta[0]) * x + theta[2] / 2, theta[1] * x + theta[3] / 2)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("between", [(), (5,), (5, 4), (2, 3, 2)])
def test_two_pieces_by_hand(alpha, between):
    x = np.random.default_rng(1).normal(size=(7, *between, 2))
    layer = with_theta(SLOPES, alpha=alpha, dtype="float64")
    np.testing.assert_allclose(layer(x), by_hand(x, alpha), rtol=1e-6)


def test_coefficients_depend_on_the_means_of_the_channels():
    """One hidden unit, 0.7·mean₀ - 0.2·mean₁ + 0.1, and θ = tanh of half of 3 times that, for the first slope alone."""
    layer = with_theta(0 * SLOPES, dtype="float64")
    layer.squeeze[0].assign([[0.7], [-0.2]])
    layer.squeeze[1].assign([0.1])
    layer.excitation[0].assign([[3.0] + 7 * [0.0]])
    x = np.random.default_rng(2).uniform(0.5, 2, size=(3, 4, 6, 2))
    hidden = np.maximum(x.mean((1, 2)) @ [0.7, -0.2] + 0.1, 0)
    theta = 2 / (1 + np.exp(-3 * hidden)) - 1
    assert theta.min() > 0.1
    expected = x.copy()
    expected[..., 0] *= 1 + theta[:, None, None]
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6)


def test_without_alpha_it_is_exactly_relu():
    x = tf.constant(np.random.default_rng(3).normal(size=(4, 5, 5, 6)).astype(np.float32)) * tf.constant(
        [1.0] * 5 + [0.0]
    )
    for layer, relu in (
        (tost.GhostDyReLU(0.0), tf.nn.relu),
        (tost.GhostDyReLU(0.0, 0.7), lambda x: tf.minimum(tf.nn.relu(x), 0.7)),
    ):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            mine, theirs = layer(x), relu(x)
        np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(tape.gradient(mine, x), tape.gradient(theirs, x))


def test_first_axis_may_be_the_channels():
    x = np.random.default_rng(4).normal(size=(3, 5, 5, 2))
    layer = with_theta(SLOPES, channel_axis=1, dtype="float64")
    np.testing.assert_allclose(layer(np.moveaxis(x, -1, 1)), np.moveaxis(by_hand(x, 1.0), -1, 1), rtol=1e-6)


def test_dead_channels_can_stay_relu():
    layer = with_theta(SLOPES, dead_channels="relu", dtype="float64")
    layer.varies.assign([1, 0])
    x = np.random.default_rng(5).normal(size=(3, 5, 5, 2))
    np.testing.assert_allclose(layer(x)[..., 0], by_hand(x, 1.0)[..., 0], rtol=1e-6)
    np.testing.assert_array_equal(layer(x)[..., 1], np.maximum(x[..., 1], 0))


def test_start_is_that_of_the_released_code():
    layer = tost.GhostDyReLU()
    layer.build((None, 64))
    shapes = [weight.shape.as_list() for weight in layer.trainable_weights]
    assert shapes == [[64, 16], [16], [16, 256], [256]]
    for weight, bound in zip(layer.trainable_weights, (1 / 8, 1 / 8, 1 / 4, 1 / 4), strict=True):
        assert 0.8 * bound < np.abs(weight).max() <= bound
    few = tost.GhostDyReLU()
    few.build((None, 3))
    assert few.squeeze[0].shape == (3, 1)


def test_config_round_trip_and_what_is_refused():
    layer = tost.GhostDyReLU(0.7, 6.0, "relu", 1, name="dynamic")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config() and float(again.alpha) == pytest.approx(0.7)
    with pytest.raises(TostError, match="'dyrelu' is a layer by itself: use GhostDyReLU"):
        tost.GhostActivation("dyrelu")
    with pytest.raises(TostError, match="dynamic has no fixed number of channels, as DyReLU needs"):
        tost.GhostDyReLU(name="dynamic")(keras.Input((5, None)))
    with pytest.raises(TostError, match="dead_channels"):
        tost.GhostDyReLU(dead_channels="rely")
    with pytest.raises(NotImplementedError):
        GhostNeuron()(tf.zeros((2, 3)))


def twice():
    """One ReLU that is called for four and for eight channels, one inside a layer, one capped."""
    image = keras.Input((6, 6, 2), name="image")
    relu = L.ReLU(name="relu")
    x = relu(L.BatchNormalization()(L.Conv2D(4, 3, padding="same", name="stem")(image)))
    x = relu(L.BatchNormalization()(L.Conv2D(8, 3, padding="same", name="conv")(x)))
    x = L.ReLU(6.0, name="capped")(L.Conv2D(3, 1, activation="relu", name="inside")(x))
    return keras.Model(image, L.Dense(4, name="logits")(L.Flatten()(x)), name="twice")


def ghosted_of(model, **options):
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.4))
    return tost.GhostModel(sparse, **({"neurons": "dyrelu", "skips": "none"} | options))


def test_every_call_of_a_relu_has_its_own_and_no_mask_has_their_weights():
    model = twice()
    ghosted = ghosted_of(model)
    found = [(ghost.layer, ghost.kind, ghost.extra_parameters) for ghost in ghosted.ghosts]
    assert found == [
        ("relu", "dyrelu", 4 * 1 + 1 + 16 + 16),
        ("relu", "dyrelu", 8 * 2 + 2 + 64 + 32),
        *[("inside", "dyrelu", 3 + 1 + 12 + 12), ("capped", "dyrelu", 3 + 1 + 12 + 12)],
    ]
    assert [layer.max_value for layer in ghosted.ghosted.layers if isinstance(layer, GhostNeuron)] == [None] * 3 + [6.0]
    kernels = {"stem/kernel", "conv/kernel", "inside/kernel", "logits/kernel"}
    assert set(tost.masks.random(ghosted.plain, sparsity=0.9)) == kernels
    assert set(tost.masks.random(ghosted.ghosted, sparsity=0.9)) < kernels


def test_steps_train_it_until_it_fades_and_leave_the_network_of_before(small_images):
    model, seen = twice(), []
    ghosted = ghosted_of(model)
    ghosted.compile("sgd", LOSS)
    layers = [layer for layer in ghosted.ghosted.layers if isinstance(layer, tost.GhostDyReLU)]
    start = [layer.excitation[1].numpy() for layer in layers]
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda *_: seen.append(({float(layer.alpha) for layer in layers}, ghosted.ghosts_active))
    )
    schedule = tost.GhostSchedule(2, steps_per_epoch=2, schedule="delayed")
    ghosted.fit(*small_images, batch_size=10, epochs=3, verbose=0, callbacks=[schedule, watch])
    assert seen == [({1.0}, True)] * 3 + [({0.5}, True)] + [({0.0}, False)] * 2
    assert all((layer.excitation[1].numpy() != before).any() for layer, before in zip(layers, start, strict=True))
    x = small_images[0]
    np.testing.assert_array_equal(ghosted.plain(x), ghosted(x))
    np.testing.assert_allclose(ghosted.ghosted(x), ghosted.plain(x), atol=1e-5)  # α is 0: ReLU, on another graph
    final = tost.strip(ghosted)
    assert [(w.name, w.shape) for w in final.weights] == [(w.name, w.shape) for w in model.weights]
    np.testing.assert_allclose(final(x), ghosted.plain(x), atol=1e-5)


class Leaky(GhostNeuron):
    """A user's own: the slope for negative inputs is α / 4."""

    def __init__(self, **options):
        super().__init__(**options)
        self.alpha = self.add_number("alpha", 1.0)

    def soft(self, inputs):
        return tf.maximum(inputs, 0.25 * self.alpha * inputs)


def test_a_class_of_the_user_is_registered_and_fades(small_images):
    with pytest.raises(TostError, match="that is a class is given by its name: register Leaky"):
        ghosted_of(twice(), neurons=Leaky)
    with GHOST_NEURONS.temporarily("leaky", Leaky):
        ghosted = ghosted_of(twice(), neurons="leaky")
        assert type(ghosted).from_config(ghosted.get_config()).ghosts == ghosted.ghosts
    ghosted.compile("sgd", LOSS)
    ghosted.fit(*small_images, batch_size=10, verbose=0, callbacks=[tost.GhostSchedule(4, steps_per_epoch=2)])
    found = [layer for layer in ghosted.ghosted.layers if isinstance(layer, Leaky)]
    assert [ghost.kind for ghost in ghosted.ghosts] == ["leaky"] * 4
    assert [float(layer.alpha) for layer in found] == [pytest.approx(7 / 8)] * 4


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", ["whole.keras", exhaustive("whole.h5")])
def test_files(name, small_images, tmp_path):
    ghosted = ghosted_of(twice(), dead_channels="relu")
    ghosted.compile("sgd", LOSS)
    ghosted.fit(*small_images, verbose=0)
    ghosted.save(tmp_path / name)
    loaded = keras.models.load_model(tmp_path / name)
    assert loaded.ghosts_active
    np.testing.assert_array_equal(
        loaded.predict(small_images[0], verbose=0), ghosted.predict(small_images[0], verbose=0)
    )


def test_half_precision_is_near_full():
    x = np.random.default_rng(6).normal(size=(4, 5, 5, 2)).astype(np.float32)
    for precision in ("mixed_float16", "mixed_bfloat16"):
        layer = with_theta(SLOPES, dtype=precision)
        assert layer(x).dtype == layer.compute_dtype and layer.squeeze[0].dtype == tf.float32
        np.testing.assert_allclose(tf.cast(layer(x), tf.float32), by_hand(x, 1.0), atol=0.03)


def test_two_replicas_take_the_steps_of_one(two_replicas, small_images):
    def trained(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(3)
            ghosted = ghosted_of(keras.Sequential([L.Flatten(input_shape=(6, 6, 2)), L.Dense(8, "relu"), L.Dense(4)]))
            ghosted.compile(tost.OrthogonalSGD(0.02), LOSS)
        ghosted.fit(*small_images, batch_size=20, epochs=3, verbose=0, callbacks=[tost.GhostSchedule(4)])
        return ghosted.get_weights()

    one, two = (trained(strategy) for strategy in (tf.distribute.get_strategy(), two_replicas))
    for mine, theirs in zip(two, one, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
