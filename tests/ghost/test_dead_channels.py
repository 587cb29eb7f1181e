import logging

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.masks.starved import starved_layers

layers = keras.layers


@pytest.fixture
def chain():
    """Convolutions whose channels 1, and then 0 and 1, have no input."""
    image = keras.Input((6, 6, 2))
    x = layers.ReLU(name="relu1")(layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same", name="a")(image)))
    x = layers.ReLU(name="relu2")(layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same", name="b")(x)))
    model = keras.Model(image, layers.Dense(4, name="c")(layers.Flatten()(x)), name="chain")
    a, b = np.ones((3, 3, 2, 3)), np.ones((3, 3, 3, 3))
    a[..., 1] = 0
    b[..., 0] = 0
    b[:, :, [0, 2], 1] = 0  # reads what is dead
    return tost.sparsify(model, tost.Masks({"a/kernel": a, "b/kernel": b, "c/kernel": np.ones((108, 4))}))


def neurons_of(model):
    return {part.name: part for part in model.submodules if isinstance(part, tost.GhostActivation)}


def test_relu_is_kept_where_nothing_varies(chain, small_images):
    ghosted = tost.GhostModel(chain, skips="identity", dead_channels="relu")
    before = [weight.numpy() for weight in ghosted.weights if "varies" not in weight.name]
    assert ghosted.find_dead_channels(small_images[0]) == {"relu1_ghost": 1, "relu2_ghost": 2}
    neurons = neurons_of(ghosted)
    assert neurons["relu1_ghost"].varies.numpy().tolist() == [1, 0, 1]
    assert neurons["relu2_ghost"].varies.numpy().tolist() == [0, 0, 1]
    after = [weight.numpy() for weight in ghosted.weights if "varies" not in weight.name]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_dead_channels_get_no_gradient(chain, small_images):
    def gradient(dead_channels):
        ghosted = tost.GhostModel(chain, skips="none", dead_channels=dead_channels)
        if dead_channels == "relu":
            ghosted.find_dead_channels(small_images[0])
        beta = chain.get_layer(index=2).beta
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(ghosted(small_images[0], training=True)[:, 0])
        return tape.gradient(loss, beta).numpy()

    soft, kept = gradient("soft"), gradient("relu")
    assert soft[1] != 0 and kept[1] == 0 and (kept[[0, 2]] != 0).all()


def test_layer_by_hand():
    layer = tost.GhostActivation("pswish", beta=2.0, max_value=1.5, dead_channels="relu")
    x = np.float32([[-1, -1], [0.5, 0.5], [2, 2]])
    layer(x)
    layer.varies.assign([1, 0])
    np.testing.assert_allclose(layer(x)[:, 0], np.minimum(x[:, 0] / (1 + np.exp(-2 * x[:, 0])), 1.5), rtol=1e-6)
    np.testing.assert_array_equal(layer(x)[:, 1], [0, 0.5, 1.5])
    first = tost.GhostActivation(dead_channels="relu", channel_axis=1)
    assert first(np.ones((1, 3, 4, 4))).shape == (1, 3, 4, 4) and first.varies.shape == (3,)
    assert tost.GhostActivation.from_config(first.get_config()).get_config() == first.get_config()
    assert tost.GhostActivation().varies is None
    with pytest.raises(TostError, match="unknown dead_channels 'rely': did you mean 'relu'"):
        tost.GhostActivation(dead_channels="rely")


def test_a_relu_called_twice_has_channels_of_its_own_at_each_call(small_images):
    image, relu = keras.Input((6, 6, 2)), layers.ReLU(name="relu")
    x = relu(layers.Conv2D(5, 1, name="a")(relu(layers.Conv2D(3, 1, name="b")(image))))
    dense = keras.Model(image, layers.Dense(4)(layers.Flatten()(x)))
    ghosted = tost.GhostModel(dense, skips="none", dead_channels="relu")
    assert ghosted.find_dead_channels(small_images[0]) == {}
    assert {name: part.varies.shape[0] for name, part in neurons_of(ghosted).items()} == {
        "relu_ghost": 3,
        "relu_ghost_1": 5,
    }
    assert set(neurons_of(tost.GhostModel(dense, skips="none"))) == {"relu_ghost"}


def test_on_two_replicas(two_replicas, chain, small_images):
    with two_replicas.scope():
        ghosted = tost.GhostModel(
            tost.sparsify(tost.strip(chain), tost.masks.zeros(tost.strip(chain))),
            skips="identity",
            dead_channels="relu",
        )
        assert ghosted.find_dead_channels(small_images[0]) == {"relu1_ghost": 1, "relu2_ghost": 2}


def test_starved_layers(chain):
    masks = {"a/kernel": np.zeros((3, 3, 2, 3)), "b/kernel": np.zeros((3, 3, 3, 3))}
    masks["a/kernel"][0, 0, 0, 1:] = 1
    masks["b/kernel"][2, 2, 1, 2] = 1
    assert starved_layers(tost.strip(chain), masks) == {"b/kernel": pytest.approx(2 / 3)}


def test_starved_mask_is_named_once_where_neurons_would_wake_its_channels(small_model, small_images, caplog):
    masks = dict(tost.masks.random(small_model, sparsity=0.1))
    masks["conv1/kernel"] = np.zeros((3, 3, 3, 5))
    masks["conv1/kernel"][1, 1, 1, 3] = 1
    for options, named in (
        ({"neurons": "pswish"}, 1),
        ({"neurons": "none"}, 0),
        ({"neurons": "pswish", "dead_channels": "relu"}, 0),
    ):
        caplog.clear()
        model = tost.GhostModel(tost.sparsify(small_model, tost.Masks(masks)), skips="none", **options)
        model.compile("sgd", "mse")
        with caplog.at_level(logging.WARNING):
            model.fit(*small_images, epochs=1, verbose=0)
        assert caplog.text.count("the mask is starved, most filters of conv1/kernel (80%) have no weight") == named
