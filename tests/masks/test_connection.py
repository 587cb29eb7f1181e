import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.masks.connection import depends_on_input
from tost_tf.masks.synaptic_flow import SynapticFlow
from tost_tf.report.mask_table import NO_PATH, mask_table

layers = keras.layers


@pytest.fixture
def chain():
    """Three layers without a shortcut, and masks under which none is empty and nothing passes."""
    numbers = keras.Input((4,))
    x = layers.Dense(4, "relu", bias_initializer="ones", name="b")(layers.Dense(4, "relu", name="a")(numbers))
    model = keras.Model(numbers, layers.Dense(2, name="c")(x))
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[:, :2], b[2:] = 1, 1
    return model, {"a/kernel": a, "b/kernel": b, "c/kernel": np.ones((4, 2))}


def test_cut_network_has_no_empty_layer(chain):
    model, masks = chain
    before = model.get_weights()
    assert not tost.Masks(masks).collapsed_layers and not depends_on_input(model, masks)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    inputs = np.random.default_rng(0).normal(size=(5, 4))
    outputs = tost.sparsify(model, tost.Masks(masks))(inputs).numpy()
    assert np.ptp(outputs, axis=0).max() == 0  # the biases alone
    masks["b/kernel"][1, 3] = 1
    assert depends_on_input(model, masks)


def test_table_says_so(chain):
    model, masks = chain
    assert mask_table(tost.Masks(masks), model).endswith(NO_PATH)
    assert NO_PATH not in mask_table(tost.Masks(masks))
    masks["a/kernel"][:] = 1
    assert NO_PATH not in mask_table(tost.Masks(masks), model)


def test_shortcut_is_a_path(small_model):
    masks = dict(tost.masks.random(small_model, sparsity=0.0))
    masks["conv1/kernel"] = np.zeros_like(masks["conv1/kernel"])
    assert depends_on_input(small_model, masks)
    masks["shortcut/kernel"] = np.zeros_like(masks["shortcut/kernel"])
    assert not depends_on_input(small_model, masks)
    assert not depends_on_input(tost.sparsify(small_model, tost.Masks(masks)), masks)


def test_dead_neurons_are_no_cut():
    """All of them off for these inputs: that is the weights' doing, and training may undo it."""
    numbers = keras.Input((3,))
    hidden = layers.Dense(4, "relu", bias_initializer=keras.initializers.Constant(-1000.0), name="a")(numbers)
    model = keras.Model(numbers, layers.Dense(2, name="b")(hidden))
    assert depends_on_input(model, {})
    assert not depends_on_input(model, {"a/kernel": np.zeros((3, 4))})


def test_gate_that_is_cut_leaves_the_signal():
    image = keras.Input((4, 4, 3))
    gate = layers.Dense(3, "sigmoid", name="gate")(layers.GlobalAveragePooling2D()(image))
    x = layers.Multiply()([image, layers.Reshape((1, 1, 3))(gate)])
    model = keras.Model(image, layers.Dense(2, name="logits")(layers.Flatten()(x)))
    assert depends_on_input(model, {"gate/kernel": np.zeros((3, 3))})
    assert not depends_on_input(model, {"logits/kernel": np.zeros((48, 2))})


def test_words_and_images_of_any_size():
    words = keras.Input((5,), dtype=tf.int32)
    x = layers.GlobalAveragePooling1D()(layers.Embedding(11, 3)(words))
    model = keras.Model(words, layers.Dense(2, name="fc")(x))
    assert depends_on_input(model, {}) and not depends_on_input(model, {"fc/kernel": np.zeros((3, 2))})
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, name="conv")(image)))
    assert depends_on_input(model, {"conv/kernel": np.zeros((3, 3, 3, 2))})  # not looked at


def test_deep_network_has_more_paths_than_a_number_can_tell():
    numbers = x = keras.Input((200,))
    for number in range(136):  # 200 ** 136 is above 1e308
        x = layers.Dense(200, name=f"d{number}")(x)
    flow = SynapticFlow(keras.Model(numbers, x), paths_only=True)
    assert flow.has_path({}) and not flow.has_path({"d7/kernel": np.zeros((200, 200))})


def test_emptied_layers_are_named_as_soon_as_a_mask_is_found(small_model, caplog):
    tost.masks.random(small_model, sparsity=0.3)
    assert not caplog.text
    for name, scale in (("conv2", 1e-6), ("shortcut", 1e-6)):
        layer = small_model.get_layer(name)
        layer.set_weights([scale * weight for weight in layer.get_weights()])
    tost.masks.magnitude(small_model, sparsity=0.4)
    assert "no weight is left in 2 layer(s) of small, conv2/depthwise_kernel, shortcut/kernel: no path" in caplog.text
    caplog.clear()
    shortcut = small_model.get_layer("shortcut")
    shortcut.set_weights([1e9 * weight for weight in shortcut.get_weights()])
    tost.masks.magnitude(small_model, sparsity=0.3)
    assert "in 1 layer(s) of small, conv2/depthwise_kernel: gradients pass there only through a shortcut" in caplog.text


def test_of_a_recurrent_network_whose_paths_cannot_be_counted_nothing_is_claimed():
    layers = keras.layers
    series = keras.Input((4, 3))
    model = keras.Model(series, layers.Dense(2, name="logits")(layers.LSTM(3, name="lstm")(series)))
    masks = {"logits/kernel": np.zeros((3, 2))}
    assert depends_on_input(model, masks)
