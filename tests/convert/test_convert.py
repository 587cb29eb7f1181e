"""Kinds of models and layers, both ways in one process."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, keras3, tf
from tost_tf.convert.to_keras3 import to_keras3
from tost_tf.errors import TostError

K3 = keras3()


def same_outputs(one, other, inputs):
    first = tf.nest.flatten(one(inputs, training=False))
    second = tf.nest.flatten(other(inputs, training=False))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)


def filled(model):
    """The model with random weights everywhere, BatchNormalization's statistics too."""
    generator = np.random.default_rng(2)
    model.set_weights([generator.uniform(0.3, 0.9, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("library", [K3, keras], ids=["keras3", "tf_keras"])
def test_several_inputs_shared_layers_nested_models_and_operations(library):
    layers = library.layers
    one, two = library.Input((6, 6, 3), name="one"), library.Input((6, 6, 3), name="two")
    inner = library.Sequential(
        [library.Input((6, 6, 4)), layers.DepthwiseConv2D(3, padding="same", name="d"), layers.LeakyReLU(name="leaky")],
        name="inner",
    )
    shared = layers.Conv2D(4, 3, padding="same", name="shared", kernel_regularizer=library.regularizers.L2(0.02))
    deep = library.Input((6, 6, 4))
    block = library.Model(deep, layers.BatchNormalization(name="bn")(deep), name="block")
    left, right = shared(one), inner(shared(two * 2.0 + 0.5))
    joined = layers.Concatenate(name="join")([left, block(right)])
    head = layers.Dense(2, activation="relu", name="head")(layers.Flatten(name="flat")(joined))
    model = filled(library.Model({"one": one, "two": two}, [head, joined], name="m"))
    model.get_layer("shared").trainable = False
    generator = np.random.default_rng(5)
    inputs = {name: tf.constant(generator.normal(size=(2, 6, 6, 3)), tf.float32) for name in ("one", "two")}
    other = tost.from_keras3(model) if library is K3 else to_keras3(model)
    same_outputs(model, other, inputs)
    back = to_keras3(other) if library is K3 else tost.from_keras3(other)
    same_outputs(model, back, inputs)
    for new in (other, back):
        assert new.name == "m" and not new.get_layer("shared").trainable and new.get_layer("head").trainable
        assert float(new.get_layer("shared").kernel_regularizer.l2) == pytest.approx(0.02)
        assert new.get_layer("inner").get_layer("d").kernel_size == (3, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda layers: layers.ReLU(max_value=0.4, negative_slope=0.1, threshold=0.2),
        lambda layers: layers.PReLU(),
        lambda layers: layers.Activation("silu" if layers is K3.layers else "swish"),
        lambda layers: layers.BatchNormalization(axis=2, epsilon=0.01),
        lambda layers: layers.LayerNormalization(),
        lambda layers: layers.SeparableConv2D(4, 3, depth_multiplier=2),
        lambda layers: layers.Conv2DTranspose(4, 3, 2),
        lambda layers: layers.Conv2D(6, 3, groups=3, dilation_rate=2, padding="same"),
        lambda layers: layers.ZeroPadding2D(((1, 2), (0, 3))),
        lambda layers: layers.MaxPooling2D(3, 2, "same"),
        lambda layers: layers.GlobalAveragePooling2D(keepdims=True),
        lambda layers: layers.UpSampling2D(2, interpolation="bilinear"),
        lambda layers: layers.Rescaling(0.3, 0.1),
        lambda layers: layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 2.0, 3.0]),
        lambda layers: layers.Dense(3, activation="gelu", use_bias=False),
        lambda layers: layers.Dropout(0.3),
    ],
)
def test_layers_compute_the_same(make):
    x = np.random.default_rng(4).normal(size=(2, 6, 6, 3)).astype(np.float32)
    old = K3.Sequential([K3.Input((6, 6, 3)), make(K3.layers)])
    if not isinstance(old.layers[0], K3.layers.Normalization):
        filled(old)
    new = tost.from_keras3(old)
    assert type(new) is keras.Sequential
    same_outputs(old, new, x)
    same_outputs(old, to_keras3(new), x)
    legacy = keras.Sequential([keras.Input((6, 6, 3)), make(keras.layers)])
    same_outputs(legacy, to_keras3(legacy), x)


def test_what_has_no_counterpart_is_named():
    class Own(K3.layers.Layer):
        def call(self, x):
            return x

    image = K3.Input((6, 6, 3))

    def refused(layer, message):
        with pytest.raises(TostError, match=message):
            tost.from_keras3(K3.Model(image, layer(image)))

    refused(Own(name="mine"), r"the layer 'mine' \(.*Own\) has no counterpart in tf_keras")
    refused(K3.layers.RMSNormalization(name="rms"), r"the layer 'rms' \(.*RMSNormalization\) has no counterpart")
    refused(K3.ops.cos, r"the layer 'cos.*' \(the operation Cos\) has no counterpart")
    refused(K3.layers.Activation("hard_sigmoid", name="gate"), "'gate' .*hard_sigmoid.* has no counterpart")
    refused(K3.layers.Dense(2, kernel_constraint=_OwnConstraint(), name="d"), "constraint '_OwnConstraint' has no")
    legacy = keras.Input((6, 6, 3))
    with pytest.raises(TostError, match=r"the layer 'tf.math.cos.*' \(the operation math.cos\) has no .* Keras 3"):
        to_keras3(keras.Model(legacy, tf.cos(legacy)))
    with pytest.raises(TostError, match=r"'bn' \(BatchNormalization\) has .*, which Keras 3 does not have"):
        bn = keras.layers.BatchNormalization(virtual_batch_size=2, name="bn")
        to_keras3(keras.Model(legacy, bn(legacy)))


class _OwnConstraint(K3.constraints.Constraint):
    def __call__(self, weight):
        return weight


def test_other_models_are_refused():
    class Subclassed(K3.Model):
        pass

    with pytest.raises(TostError, match="is a subclassed Keras 3 model, .* functional API"):
        tost.from_keras3(Subclassed())
    with pytest.raises(TostError, match="has no input shape yet"):
        tost.from_keras3(K3.Sequential([K3.layers.Dense(2)]))
    with pytest.raises(TostError, match=r"expected a Keras 3 model, got an object of type tf_keras"):
        tost.from_keras3(keras.Sequential([keras.layers.Dense(2, input_shape=(3,))]))
    with pytest.raises(TostError, match="is a Keras 3 model"):
        to_keras3(K3.Sequential([K3.Input((3,)), K3.layers.Dense(2)]))


def test_export_replaces_only_complete_files(tmp_path, small_model):
    with pytest.raises(TostError, match="must end with .keras"):
        tost.export.keras3(small_model, tmp_path / "model.h5")
    (tmp_path / "model.keras").write_text("an earlier file")
    legacy = keras.Input((3,))
    with pytest.raises(TostError, match="no counterpart"):
        tost.export.keras3(keras.Model(legacy, tf.cos(legacy)), tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_text() == "an earlier file"
    tost.export.keras3(small_model, tmp_path / "model.keras")
    assert K3.models.load_model(tmp_path / "model.keras").count_params() == small_model.count_params()
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]


def gelu(x):
    """Of the user's own, named like a known one."""
    return 3.0 * x


def test_a_function_of_the_user_is_not_taken_for_the_known_one():
    for library, convert in ((K3, tost.from_keras3), (keras, to_keras3)):
        image = library.Input((3,))
        model = library.Model(image, library.layers.Dense(2, activation=gelu, name="own")(image))
        with pytest.raises(TostError, match="'own' .* has no counterpart"):
            convert(model)
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.0))
    x = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(sparse(x), model(x))


def test_constants_in_the_graph():
    image = K3.Input((2, 3))
    model = K3.Model(image, image * np.array([1.0, 2.0, 3.0], np.float32))
    x = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(tost.from_keras3(model)(x), model(x))
    legacy = keras.Input((3,))
    with pytest.raises(TostError, match=r"\(math.add, called so: .*\) has no counterpart in Keras 3"):
        to_keras3(keras.Model(legacy, tf.add(legacy, y=legacy)))


def test_activations_that_are_layers_in_tf_keras():
    x = np.linspace(-9, 9, 12, dtype=np.float32).reshape(4, 3)
    for name in ("relu6", "leaky_relu"):
        model = K3.Sequential([K3.Input((3,)), K3.layers.Activation(name)])
        same_outputs(model, tost.from_keras3(model), x)
    image = K3.Sequential([K3.Input((8, 8, 3)), K3.layers.Resizing(4, 4), K3.layers.CenterCrop(2, 2)])
    same_outputs(image, tost.from_keras3(image), np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32))


@pytest.mark.parametrize("activation", ["silu", "swish", tf.nn.silu], ids=["silu", "swish", "tf.nn.silu"])
def test_both_names_of_silu_in_tf_keras(activation):
    x = np.linspace(-5, 3, 12, dtype=np.float32).reshape(4, 3)
    layers = [keras.layers.Dense(2, activation=activation), keras.layers.Activation(activation)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    same_outputs(model, to_keras3(model), x)


def test_masks_and_ghosts_are_stripped_before_an_export(small_model):
    sparse = tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.5))
    for model in (sparse, tost.GhostModel(sparse)):
        with pytest.raises(TostError, match="call `tost_tf.strip` first"):
            to_keras3(model)


@pytest.mark.parametrize("library", [K3, keras], ids=["keras3", "tf_keras"])
def test_a_layer_that_two_nested_models_share_is_one_layer(library):
    shared = library.layers.Dense(3, name="shared")
    parts = []
    for name in ("a", "b"):
        inner = library.Input((3,))
        parts.append(library.Model(inner, shared(inner), name=name))
    image = library.Input((3,))
    model = library.Model(image, parts[1](parts[0](image)))
    assert len(model.weights) == 2
    converted = tost.from_keras3(model) if library is K3 else to_keras3(model)
    assert len(converted.weights) == 2
    images = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(converted(images)), np.asarray(model(images)), atol=1e-6)
