"""A model called again keeps what Keras attached to its tensors, layers and models."""

import numpy as np
import pytest

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.calls import calls
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.rebuild import Replay, rebuild

layers = keras.layers


def copied(model):
    return rebuild(model, copy_layer)


def images(*shape):
    return np.random.default_rng(3).normal(size=(5, *shape)).astype(np.float32)


def test_copy_has_the_same_config_and_outputs_and_separate_weights():
    inner = keras.Sequential(
        [layers.Conv2D(3, 3, input_shape=(6, 5, 2), name="c"), layers.ReLU(name="r")], name="inner"
    )
    x = keras.Input((6, 5, 2), name="image")
    hidden = layers.BatchNormalization(name="bn")(inner(x))
    model = keras.Model(x, {"logits": layers.Dense(4, name="fc")(layers.Flatten(name="f")(hidden)), "map": hidden})
    model.get_layer("bn").moving_mean.assign([0.3, -0.2, 0.7])
    new = copied(model)
    assert new.get_config() == model.get_config()
    given, found = model(images(6, 5, 2)), new(images(6, 5, 2))
    for name in ("logits", "map"):
        np.testing.assert_array_equal(given[name], found[name])
    assert not {id(weight) for weight in new.weights} & {id(weight) for weight in model.weights}


def test_layer_in_two_nested_models_stays_one():
    inner = keras.Input((4,))
    shared = layers.Dense(4, activation="relu", name="shared")(inner)
    full, early = keras.Model(inner, layers.Dense(3)(shared), name="full"), keras.Model(inner, shared, name="early")
    x = keras.Input((4,))
    model = keras.Model(x, layers.Concatenate()([full(x), early(x)]))
    new = copied(model)
    assert len(new.trainable_weights) == len(model.trainable_weights) == 4
    assert new.get_layer("full").get_layer("shared") is new.get_layer("early").get_layer("shared")
    np.testing.assert_array_equal(new(images(4)), model(images(4)))


def test_nested_model_called_twice_stays_one():
    nested = keras.Sequential([layers.Dense(4, input_shape=(4,))], name="nested")
    x = keras.Input((4,))
    model = keras.Model(x, nested(nested(x)))
    new = copied(model)
    assert len(new.weights) == 2
    np.testing.assert_array_equal(new(images(4)), model(images(4)))


@pytest.mark.parametrize("sequential", [True, False])
def test_losses_and_metrics_added_as_tensors_are_kept(sequential):
    if sequential:
        model = keras.Sequential([layers.Dense(3, input_shape=(4,), name="a"), layers.Dense(2, name="b")])
    else:
        x = keras.Input((4,))
        model = keras.Model(x, layers.Dense(2, name="b")(layers.Dense(3, name="a")(x)))
    code = model.get_layer("a").output
    model.add_loss(0.3 * tf.reduce_mean(tf.square(code)))
    model.add_metric(tf.reduce_max(code), name="largest", aggregation="mean")
    new = copied(model)
    assert type(new) is type(model)
    for network in (model, new):
        network.compile("sgd", "mse")
    expected, found = (network.test_on_batch(images(4), images(2), return_dict=True) for network in (model, new))
    assert set(found) == {"loss", "largest"}
    assert found == pytest.approx(expected, rel=1e-6)
    new(images(4))
    code = images(4) @ new.get_layer("a").get_weights()[0]
    assert float(new.losses[0]) == pytest.approx(0.3 * np.mean(code**2), rel=1e-5)


def test_loss_added_as_a_function_is_refused():
    model = keras.Sequential([layers.Dense(3, input_shape=(4,), name="a")], name="mine")
    model.add_loss(lambda: tf.reduce_sum(model.get_layer("a").kernel))
    with pytest.raises(TostError, match="'mine' as a function"):
        copied(model)


def test_keras_masks_are_kept():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    embedded = layers.Embedding(9, 4, mask_zero=True)(tokens)
    model = keras.Model(tokens, layers.LSTM(5)(layers.Dense(4, activation="relu")(embedded)))
    new = copied(model)
    padded = np.array([[3, 4, 5, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(new(padded), model(padded))
    np.testing.assert_allclose(new(padded), new(padded[:, :3]), atol=1e-6)  # what is padded is not read


def test_frozen_layers_stay_frozen_wherever_they_are():
    base = keras.Sequential([layers.Dense(4, input_shape=(4,), name="a"), layers.Dense(4, name="b")], name="base")
    base.trainable = False
    base.get_layer("b").trainable = True  # without effect: the model it is in is frozen
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2, name="c")(layers.Dense(3, trainable=False, name="d")(base(x))))
    new = copied(model)
    assert [weight.name for weight in new.trainable_weights] == ["c/kernel:0", "c/bias:0"]
    new.get_layer("base").trainable = True
    assert len(new.trainable_weights) == 6
    flags = [new.get_layer("base").get_layer(name).trainable for name in "ab"]
    assert flags == [True, True]


def test_kinds_of_inputs_are_kept():
    inputs = {
        "few": keras.Input((7,), sparse=True, name="few"),
        "bytes": keras.Input((3,), batch_size=5, dtype="uint8", name="bytes"),
    }
    dense = layers.Dense(2)(inputs["few"])
    model = keras.Model(inputs, layers.Add()([dense, layers.Dense(2)(layers.Rescaling(0.1)(inputs["bytes"]))]))
    new = copied(model)
    assert isinstance(new.input["few"].type_spec, tf.SparseTensorSpec)
    assert (new.input["bytes"].dtype, new.input["bytes"].shape) == (tf.uint8, (5, 3))
    data = {"few": tf.sparse.from_dense(np.eye(5, 7, dtype=np.float32)), "bytes": np.full((5, 3), 200, np.uint8)}
    np.testing.assert_array_equal(new(data), model(data))


def test_class_of_a_functional_model_is_kept():
    class Doubling(keras.Model):
        def train_step(self, data):
            return {"doubled": 2 * tf.reduce_sum(data[0])}

    x = keras.Input((3,))
    model = Doubling(x, layers.Dense(2)(x))
    new = copied(model)
    new.compile("sgd")
    assert new.train_on_batch(np.ones((4, 3), np.float32), return_dict=True) == {"doubled": 24.0}


def test_operations_constants_and_arguments_are_called_as_they_were():
    x = keras.Input((4, 3))
    y = tf.concat([x * 2.0 + 1.0, tf.nn.relu(x)], axis=-1)
    attended = layers.MultiHeadAttention(2, 3)(y, value=y, attention_mask=tf.linalg.band_part(tf.ones((4, 4)), -1, 0))
    model = keras.Model(x, layers.Dropout(0.5)(attended, training=False))
    new = copied(model)
    np.testing.assert_allclose(new(images(4, 3), training=True), model(images(4, 3)), atol=1e-6)


def test_sequential_model_that_was_built_later():
    model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    model.build((None, 4))
    np.testing.assert_array_equal(copied(model)(images(4)), model(images(4)))


def test_calls_can_be_left_out_and_layers_replaced():
    x = keras.Input((4,))
    kept = layers.Dense(3, activation="relu", name="kept")(x)
    layers.Dense(9, name="not_in_the_graph")(kept)
    model = keras.Model(x, [kept, layers.Dense(2, name="gone")(kept)])

    class WithoutSecond(Replay):
        def new_layer(self, layer):
            return layers.Dense(3, name="new") if layer.name == "kept" else layer

        def call(self, call, tensors):
            return None if call.layer.name == "gone" else super().call(call, tensors)

    replay = WithoutSecond()
    tensors = replay.replay(model, [keras.Input((4,))])
    kept_key = calls(model)[0].outputs[0]
    assert set(tensors) == {str(id(model.input)), kept_key}
    assert replay.layer(model.get_layer("kept")).name == "new"
