"""Models of the user's own, as files and by keras.applications' names."""

import numpy as np
import pytest

from tost_tf import models
from tost_tf.compat import keras, keras3, tf
from tost_tf.errors import TostError
from tost_tf.models import load

K3 = keras3()


def network(library, softmax=None, classes=4):
    layers = library.layers
    image = library.Input((8, 8, 3), name="image")
    x = layers.Flatten()(layers.Conv2D(3, 3, activation="relu", name="conv")(image))
    x = layers.Dense(classes, name="top", activation="softmax" if softmax == "fused" else None)(x)
    x = {"layer": layers.Softmax, "activation": lambda: layers.Activation("softmax")}.get(
        softmax, lambda: lambda y: y
    )()(x)
    return library.Model(image, x, name="mine")


@pytest.mark.parametrize("library", [K3, keras], ids=["keras3", "tf_keras"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("softmax", [None, "fused", "layer", "activation"])
def test_files_of_both_keras_give_logits(tmp_path, library, suffix, softmax):
    model = network(library, softmax)
    model.save(tmp_path / f"model{suffix}")
    loaded = models.build(str(tmp_path / f"model{suffix}"), (8, 8, 3), 4)
    x = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype(np.float32)
    logits, expected = loaded(x).numpy(), np.asarray(model(x))
    if softmax:
        logits = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)
    assert isinstance(loaded, keras.Model) and loaded.get_layer("conv").name == "conv"


def test_files_that_do_not_fit_are_refused(tmp_path):
    path = str(tmp_path / "model.keras")

    def refused(message, shape=(8, 8, 3), classes=4, width=1.0):
        with pytest.raises(TostError, match=message):
            models.build(path, shape, classes, width)

    refused("there is no model file")
    network(K3).save(path)
    refused(r"takes inputs of \[8, 8, 3\], the dataset has \[9, 8, 3\]", shape=(9, 8, 3))
    refused(r"gives \[4\] numbers, the dataset has 7 classes", classes=7)
    refused("the width of the model in .* is fixed", width=0.5)
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 cut off")
    refused("cannot be read as a model file of Keras")
    (tmp_path / "model.h5").write_bytes(b"no HDF5")
    with pytest.raises(TostError, match="cannot be read as a model file of Keras"):
        load(tmp_path / "model.h5")


@pytest.mark.parametrize("library", [K3, keras], ids=["keras3", "tf_keras"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_is_never_run(tmp_path, library, suffix):
    image = library.Input((3,))
    model = library.Model(image, library.layers.Dense(2)(library.layers.Lambda(lambda x: x * 2)(image)))
    model.save(tmp_path / f"model{suffix}")
    with pytest.raises(TostError, match="has a Lambda layer, whose code is not run"):
        load(tmp_path / f"model{suffix}")


def test_networks_of_keras_applications():
    model = models.build("applications/MobileNetV2", (32, 32, 3), 7, 0.35)
    assert model.output_shape == (None, 7) and model.layers[-1].activation is keras.activations.linear
    names = [layer.name for layer in models.build("applications/MobileNetV3Small", (32, 32, 1), 7).layers]
    assert "rescaling" not in names
    with pytest.raises(TostError, match="ResNet50 has a fixed width"):
        models.build("applications/ResNet50", (32, 32, 3), 7, 0.5)
    with pytest.raises(TostError, match=r"cannot be built for images of 32×32×3 .*: image_size makes them larger"):
        models.build("applications/InceptionV3", (32, 32, 3), 7)
    with pytest.raises(TostError, match="unknown model 'applications/ResNet5': did you mean 'applications/ResNet50'"):
        models.build("applications/ResNet5", (32, 32, 3), 7)


def test_softmax_at_the_end_of_a_nested_model_or_as_an_operation(tmp_path):
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    x = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype(np.float32)
    head = keras.Sequential([layers.Dense(4, activation="softmax", input_shape=(192,))])
    for outputs in (head(layers.Flatten()(image)), tf.nn.softmax(layers.Dense(4)(layers.Flatten()(image)))):
        model = keras.Model(image, outputs)
        model.save(tmp_path / "model.h5")
        logits = load(tmp_path / "model.h5")(x)
        np.testing.assert_allclose(tf.nn.softmax(logits), model(x), rtol=1e-5)
        assert np.abs(logits.numpy().sum(1) - 1).max() > 0.01
    keras.Model(image, layers.Dense(4, activation="sigmoid", name="top")(layers.Flatten()(image))).save(
        tmp_path / "m.h5"
    )
    with pytest.raises(TostError, match="ends in 'top', which gives neither logits"):
        load(tmp_path / "m.h5")


def test_softmax_at_each_step_of_a_sequence_and_an_operation_before_others(tmp_path):
    layers, steps = keras.layers, keras.Input((4, 5))
    x = np.random.default_rng(2).normal(size=(3, 4, 5)).astype(np.float32)
    model = keras.Model(steps, layers.TimeDistributed(layers.Dense(3, activation="softmax"))(steps))
    model.save(tmp_path / "model.h5")
    logits = load(tmp_path / "model.h5")(x)
    np.testing.assert_allclose(tf.nn.softmax(logits), model(x), rtol=1e-5)
    assert np.abs(logits.numpy().sum(-1) - 1).max() > 0.01
    keras.Model(steps, tf.identity(tf.nn.softmax(layers.Dense(3)(steps), name="end")), name="m").save(tmp_path / "m.h5")
    with pytest.raises(TostError, match="at the end of 'm' is in a nested model, or other layers follow it"):
        load(tmp_path / "m.h5")


# A network of 240 layers for two of them.
@pytest.mark.exhaustive
def test_efficient_net_takes_normalised_images_unchanged():
    model = models.build("applications/EfficientNetB0", (32, 32, 3), 5)
    preprocessing = [layer for layer in model.layers if layer.name.startswith(("rescaling", "normalization"))]
    assert preprocessing and all(isinstance(layer, keras.layers.Activation) for layer in preprocessing)
