"""What Keras's own clone_model keeps, a copy by `rebuild` keeps, too, on generated graphs."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.compat.fit import own_steps
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.precision import in_precision
from tost_tf.graph.rebuild import rebuild

L = keras.layers


class Mine(keras.Model):
    def train_step(self, data):
        return super().train_step(data) | {"mine": tf.constant(0.3)}


def generated(seed: int) -> keras.Model:
    """A random graph of layers of many kinds: shared, nested, frozen, regularised, with losses and operations."""
    choose = np.random.default_rng(seed)
    x = keras.Input((4,), name="given", dtype=choose.choice(["float32", "int32", "uint8"]))
    inner = keras.Input((4,))
    shared = L.Dense(4, activation="tanh", name="shared", trainable=bool(choose.integers(2)))
    nested = keras.Model(inner, shared(L.Dense(4, name="inside")(inner)), name="nested")
    nested.trainable = bool(choose.integers(2))
    kinds = [
        lambda: shared,
        lambda: nested,
        lambda: L.Dense(4, kernel_regularizer="l2", activity_regularizer=keras.regularizers.L1(0.3)),
        lambda: L.BatchNormalization(trainable=False),
        lambda: L.Dropout(0.3),
        lambda: L.Activation(tf.nn.relu6),
        lambda: L.Dense(4, dtype="float64", bias_constraint="non_neg"),
        lambda: L.Masking(0.3),
        lambda: L.GaussianNoise(0.2),
    ]
    tensors = [L.Rescaling(0.1, offset=-0.2)(x)]
    for _ in range(7):
        one, other = (tensors[choose.integers(len(tensors))] for _ in range(2))
        how = choose.integers(4)
        if how == 0:
            tensors.append(L.Add()([one, other]))
        elif how == 1:
            tensors.append(tf.cast(one, tf.float32) * 0.7)
        else:
            training = [{}, {"training": False}, {"training": True}][choose.integers(3)]
            layer = kinds[choose.integers(len(kinds))]()
            tensors.append(layer(one, **(training if isinstance(layer, L.BatchNormalization) else {})))
    outputs = {"last": tensors[-1], "some": [tensors[3], tensors[5]]}
    model = (Mine if choose.integers(2) else keras.Model)(x, outputs, name=f"net{seed}")
    model.add_loss(0.3 * tf.reduce_mean(tf.cast(tensors[4], tf.float32)))
    model.add_metric(tf.reduce_max(tf.cast(tensors[2], tf.float32)), name="largest")
    return model


def attributes(model: keras.Model) -> dict:
    """All that a copy has to share with the model, but for values of weights."""
    config = model.get_config()
    by_name = {layer["name"]: layer for layer in config.pop("layers")}  # those of losses come in another order
    return {
        "config": config,
        "layers": by_name,
        "weights": [(w.name, tuple(w.shape), w.dtype.name, w.trainable) for w in model.weights],
        "trainable": [weight.name for weight in model.trainable_weights],
        "flags": {layer.name: (layer.trainable, layer.dtype_policy.name) for layer in model.layers},
        "inputs": [(tensor.name, tensor.dtype, tuple(tensor.shape)) for tensor in model.inputs],
        "outputs": [(tensor.dtype, tuple(tensor.shape)) for tensor in tf.nest.flatten(model.output)],
        "masks": [getattr(tensor, "_keras_mask", None) is not None for tensor in model.outputs],
        "losses": len(model.losses),
        "metrics": [metric.name for metric in model.metrics],
        "steps": own_steps(model),
    }


@pytest.mark.parametrize("seed", range(8))
def test_every_attribute(seed):
    model = generated(seed)
    new = rebuild(model, copy_layer)
    found, expected = attributes(new), attributes(model)
    of_keras = attributes(keras.models.clone_model(model))  # which unfreezes some layers
    assert {name for name in of_keras if of_keras[name] == expected[name]} >= {"config", "inputs", "masks", "losses"}
    for name, value in expected.items():
        assert found[name] == value, name
    assert type(new) is type(model)
    values = np.random.default_rng(seed).integers(0, 9, (5, 4)).astype(model.inputs[0].dtype.name)
    with_chance = any(isinstance(layer, L.Dropout | L.GaussianNoise) for layer in model.layers)
    for training in (False,) if with_chance else (False, True):
        given, copied = (
            [*tf.nest.flatten(net(values, training=training)), *sorted(map(float, net.losses))] for net in (model, new)
        )
        for one, other in zip(given, copied, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_own_steps_are_used_or_their_absence_is_said(caplog):
    x = keras.Input((4,))
    model = Mine(x, L.Dense(2, name="d")(x))
    masks = tost.masks.random(model, sparsity=0.4)
    sparse = tost.sparsify(model, masks)
    sparse.compile("sgd", "mse")
    assert sparse.train_on_batch(np.ones((2, 4)), np.zeros((2, 2)), return_dict=True)["mine"] == pytest.approx(0.3)
    assert "Mine overrides" not in caplog.text  # TensorFlow may warn of functions traced by other tests
    tost.GhostModel(sparse)
    assert "Mine overrides train_step, which is not used with ghosts" in caplog.text
    caplog.clear()

    class Sized(Mine):
        def __init__(self, size):
            x = keras.Input((size,))
            super().__init__(x, L.Dense(2, name="d")(x))

    tost.sparsify(Sized(4), masks)
    assert "Sized overrides train_step, but its sparse copy does not" in caplog.text


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_an_operation_on_the_input_in_mixed_precision_and_back(precision):
    x = keras.Input((4,))
    model = keras.Model(x, L.Dense(2)(x + L.Dense(4)(L.Dense(4)(x))))
    mixed = in_precision(model, precision)
    values = np.random.default_rng(2).normal(size=(5, 4)).astype("float32")
    np.testing.assert_allclose(mixed(values), model(values), atol=0.1)
    final = tost.strip(tost.sparsify(mixed, tost.masks.random(mixed, sparsity=0.0)))
    assert [layer.name for layer in final.layers] == [layer.name for layer in model.layers]
    np.testing.assert_allclose(final(values), model(values), atol=1e-6)
