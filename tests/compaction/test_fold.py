"""BatchNormalization is taken into the layer before it, by hand and in whole networks; and where it must not be."""

import numpy as np
import pytest

import tost_tf as tost
from tests.compaction.conftest import random_inputs
from tests.exhaustive import exhaustive
from tost_tf.compat import keras

layers = keras.layers


def settled(model: keras.Model) -> keras.Model:
    """Normalisations as after a training: nothing in them is 0 or 1."""
    generator = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.4, 1.7, weight.shape) for weight in layer.get_weights()])
    return model


def same_outputs(model: keras.Model) -> keras.Model:
    folded, _ = tost.compact(model, fold_normalization=True)
    images = random_inputs(model)
    np.testing.assert_allclose(folded(images), model(images), rtol=0, atol=2e-5)
    return folded


def norms(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def test_by_hand():
    image = keras.Input((1, 1, 1))
    x = layers.BatchNormalization(epsilon=0.0, name="norm")(layers.Conv2D(1, 1, use_bias=False, name="conv")(image))
    model = keras.Model(image, layers.ReLU(name="relu")(x))
    model.get_layer("conv").set_weights([np.full((1, 1, 1, 1), 3.0)])
    # (3 x - 5) * 7 / 2 + 11
    model.get_layer("norm").set_weights([np.array([value]) for value in (7.0, 11.0, 5.0, 4.0)])
    folded = same_outputs(model)
    assert [layer.name for layer in folded.layers[1:]] == ["conv", "relu"]
    kernel, bias = folded.get_layer("conv").get_weights()
    assert kernel.item() == 10.5 and bias.tolist() == [-6.5]
    assert norms(tost.compact(model)[0]) == ["norm"]  # only if asked for


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(4, 3, name="first"),
        layers.Conv2D(4, 3, use_bias=False, strides=2, padding="same", name="first"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="first"),
        layers.Dense(5, activation="linear", name="first"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_kinds_of_layers_and_of_normalisation(layer, options):
    image = keras.Input((6, 6, 3))
    layer = type(layer).from_config(layer.get_config())
    x = layers.BatchNormalization(name="norm", **options)(layer(image))
    model = settled(keras.Model(image, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x))))
    assert norms(same_outputs(model)) == []


def test_where_it_must_not_be_taken_in():
    image = keras.Input((6, 6, 3))
    shared, twice = layers.Conv2D(3, 1, name="shared"), layers.BatchNormalization(name="twice")
    parts = [
        layers.BatchNormalization(name="after_relu")(layers.Conv2D(3, 1, activation="relu")(image)),
        layers.BatchNormalization(name="after_shared")(shared(image)),
        layers.BatchNormalization(name="after_sum")(layers.Add()([image, shared(shared(image))])),
        twice(layers.Conv2D(3, 1)(image)),
        twice(layers.Conv2D(3, 1)(image)),
        layers.BatchNormalization(name="other_axis", axis=1)(layers.Conv2D(3, 1)(image)),
        layers.BatchNormalization(name="after_separable")(layers.SeparableConv2D(3, 3, padding="same")(image)),
        layers.BatchNormalization(name="before")(image),
    ]
    read_twice = layers.Conv2D(3, 1)(image)
    parts += [layers.BatchNormalization(name="read_by_another")(read_twice), read_twice]
    joined = layers.Concatenate()(parts)
    model = settled(keras.Model(image, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(joined))))
    assert set(norms(same_outputs(model))) == set(norms(model)) and len(norms(model)) == 8


def test_output_keeps_its_name():
    image = keras.Input((4,))
    model = settled(keras.Model(image, layers.BatchNormalization(name="out")(layers.Dense(3, name="dense")(image))))
    folded = same_outputs(model)
    assert folded.output_names == ["out"] and norms(folded) == []


@pytest.mark.parametrize("name", ["resnet8", exhaustive("mobilenet")])
def test_networks_of_this_project(name):
    model = settled(tost.models.build(name, (8, 8, 3), 10, 0.1))
    final = tost.strip(tost.sparsify(model, tost.masks.random(model, sparsity=0.9)))
    folded, _ = tost.compact(final, fold_normalization=True)
    images = random_inputs(model)
    expected = final(images).numpy()
    np.testing.assert_allclose(folded(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert norms(folded) == [] and len(norms(final)) > 6
