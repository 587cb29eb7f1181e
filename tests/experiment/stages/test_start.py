"""What would fail after the last epoch is refused before anything long."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.registry import MODELS

SMALL = {"dataset": "digits", "train_examples": 60, "batch_size": 20, "epochs": 2, "rescale_init": False}


def own(tmp_path, *layers) -> dict:
    """Options of a run of a network of one's own, made of these layers and a classifier."""
    image = keras.Input((8, 8, 1))
    x = image
    for layer in layers:
        x = layer(x)
    outputs = keras.layers.Dense(10, name="logits")(keras.layers.Flatten()(x))
    keras.Model(image, outputs, name="mine").save(tmp_path / "mine.keras")
    return SMALL | {"model": str(tmp_path / "mine.keras"), "run_dir": str(tmp_path / "run")}


def refused(options, tmp_path, message):
    with pytest.raises(TostError, match=message):
        tost.launch(RunConfig.make(**options))
    assert not (tmp_path / "run/mask.npz").exists() and not (tmp_path / "run/lottery").exists()


class Looked(keras.layers.Layer):
    """Adds a number from a table that nothing tracks, so that no SavedModel can hold it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        keys, values = tf.constant([0], tf.int64), tf.constant([0.25])
        self.table = [tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), 0.0)]

    def call(self, inputs):
        return inputs + self.table[0].lookup(tf.constant([0], tf.int64))


def test_a_network_that_cannot_be_exported(tmp_path):
    def network(input_shape, num_classes, width_multiplier):
        image = keras.Input(input_shape)
        x = keras.layers.ReLU()(keras.layers.Conv2D(3, 3)(image))
        return keras.Model(image, keras.layers.Dense(num_classes)(keras.layers.Flatten()(Looked()(x))), name="looked")

    options = SMALL | {"model": "looked", "run_dir": str(tmp_path / "run")}
    with MODELS.temporarily("looked", network):
        refused(options, tmp_path, "the model 'looked' cannot be exported as a SavedModel: .*untracked")


def test_a_batch_larger_than_the_data_is_named(tmp_path, caplog):
    options = own(tmp_path, keras.layers.Conv2D(3, 3, activation="relu")) | {"batch_size": 61, "mask": "lottery"}
    refused(
        options | {"lottery_epochs": 3, "rewind_epoch": 2, "dynamic": "rigl"}, tmp_path, "update_every=100 leaves no"
    )
    assert "--batch_size=61 is more than the 60 training images: each step uses all of them" in caplog.text


def test_a_teacher_that_is_not_there_is_missed_before_the_data_are(tmp_path):
    without_data = SMALL | {"dataset": "tiny_imagenet", "data_dir": str(tmp_path)}
    options = without_data | {"teacher": str(tmp_path / "none"), "run_dir": str(tmp_path / "run")}
    refused(options, tmp_path, "is neither a SavedModel nor the folder of a finished run")


def test_a_sparsity_that_granet_cannot_end_at(tmp_path):
    options = own(tmp_path, keras.layers.Conv2D(3, 3), keras.layers.ReLU())
    options |= {"mask": "erk", "dynamic": "granet", "update_every": 1, "sparsity": 0.9995, "initial_sparsity": 0.3}
    refused(options, tmp_path, r"at sparsity 0.9995 only 1 of 1107 weights stay, fewer than there are layers \(2\)")


def test_statistics_that_cannot_be_computed_for_a_superposition(tmp_path):
    norm = keras.layers.BatchNormalization(name="twice")
    options = own(tmp_path, keras.layers.Conv2D(3, 3), norm, keras.layers.ReLU(), norm)
    options |= {"superpose": "caa", "cycle_fraction": 0.0}
    refused(options, tmp_path, "twice normalises in several places")


def test_a_ticket_that_could_not_be_trained_is_not_searched_for(tmp_path):
    options = own(tmp_path) | {"mask": "lottery", "lottery_epochs": 1, "sparsity": 0.5}
    refused(options, tmp_path, "mine has no ReLU and no spatial convolution after another layer, so no ghost fits it")
    frozen = own(tmp_path, keras.layers.Dense(7, name="first", trainable=False)) | {"recipe": "default"}
    options |= frozen | {"dense_layers": "logits", "dynamic": "rigl", "update_every": 1}
    refused(options, tmp_path, "mine has no mask that may change")


def test_pictures_that_cannot_be_drawn(tmp_path, monkeypatch):
    import matplotlib

    monkeypatch.setenv("PATH", "")  # no LaTeX
    with matplotlib.rc_context({"text.usetex": True}):
        options = SMALL | {"run_dir": str(tmp_path / "run")}
        refused(options, tmp_path, "matplotlib cannot draw the figures of a run .*latex.*its settings are in")


def test_a_network_without_a_prunable_weight_is_trained_dense(tmp_path):
    image = keras.Input((8, 8, 1))
    x = keras.layers.LocallyConnected1D(10, 64)(keras.layers.Reshape((64, 1))(image))
    keras.Model(image, keras.layers.Flatten()(x), name="mine").save(tmp_path / "mine.keras")
    options = SMALL | {"model": str(tmp_path / "mine.keras"), "run_dir": str(tmp_path / "run"), "epochs": 1}
    result = tost.launch(RunConfig.make(**options, mask="none", recipe="default"))
    assert result["sparsity"] == 0 and result["layer_sparsity"] == {} and np.isfinite(result["test_loss"])
