"""What Keras writes and reads: whole models, weights, checkpoints and clones, in both phases."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.serializable import CLASSES

L = keras.layers
IMAGES = np.random.default_rng(5).normal(size=(8, 6, 6, 2)).astype("float32")
LABELS = np.eye(3, dtype="float32")[np.arange(8) % 3]
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def make():
    image = keras.Input((6, 6, 2), name="image")
    x = L.Conv2D(3, 3, padding="same", activation="relu", name="stem")(image)
    x = L.ReLU(name="relu")(L.BatchNormalization(name="norm")(L.Conv2D(3, 3, padding="same", name="conv")(x)))
    model = keras.Model(image, L.Dense(3, name="logits")(L.Flatten(name="flat")(x)), name="net")
    return tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=0.4)), beta=1.7, branches=2)


@pytest.fixture(scope="module", params=["ghosted", "plain"])
def fitted(request):
    ghosted = make()
    ghosted.compile("adam", LOSS, ["accuracy"])
    ghosted.fit(IMAGES, LABELS, verbose=0)
    if request.param == "plain":
        ghosted.remove_ghosts()
        ghosted.fit(IMAGES, LABELS, verbose=0)
    return ghosted


def require_same(loaded, fitted):
    assert loaded.ghosts_active == fitted.ghosts_active
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), fitted.predict(IMAGES, verbose=0))
    for one, other in zip(loaded.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    ("fitted", "name"),
    [
        ("ghosted", "whole.keras"),
        exhaustive("ghosted", "whole.h5"),
        exhaustive("plain", "whole.keras"),
        ("plain", "whole.h5"),
    ],
    indirect=["fitted"],
)
def test_whole_models_round_trip_and_go_on_training(fitted, tmp_path, name):
    fitted.save(tmp_path / name)
    loaded = keras.models.load_model(tmp_path / name)
    require_same(loaded, fitted)
    assert loaded.get_config()["beta"] == 1.7 and loaded.plain.get_config() == fitted.plain.get_config()
    for one, other in zip(loaded.optimizer.variables, fitted.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    loaded.fit(IMAGES, LABELS, verbose=0)
    loaded.restore_ghosts()
    loaded.fit(IMAGES, LABELS, verbose=0)


@pytest.mark.parametrize("name", [exhaustive("weights.h5"), "all.weights.h5", "checkpoint"])
def test_weights_go_into_a_new_model_with_the_view_they_belong_to(fitted, tmp_path, name):
    fitted.save_weights(tmp_path / name)
    new = make()
    new.compile("adam", LOSS)  # Keras keeps the optimizer's state beside the weights in a checkpoint
    new.load_weights(tmp_path / name)
    require_same(new, fitted)


def test_clones_and_checkpoints(fitted, tmp_path):
    clone = keras.models.clone_model(fitted)
    assert clone.name == fitted.name and not np.array_equal(clone(IMAGES), fitted(IMAGES))
    clone.set_weights(fitted.get_weights())
    require_same(clone, fitted)
    path = tf.train.Checkpoint(model=fitted).write(str(tmp_path / "checkpoint"))
    new = make()
    tf.train.Checkpoint(model=new).read(path).assert_existing_objects_matched().expect_partial()
    require_same(new, fitted)


@pytest.mark.parametrize("view", ["plain", "ghosted"])
def test_each_view_by_itself_round_trips(tmp_path, view):
    model = getattr(make(), view)
    expected = model(IMAGES)
    for name in ("view.keras", "view.h5"):
        model.save(tmp_path / name)
        loaded = keras.models.load_model(tmp_path / name)
        np.testing.assert_array_equal(loaded(IMAGES), expected)
    model.save_weights(tmp_path / "weights.h5")
    clone = keras.models.clone_model(model)
    clone.load_weights(tmp_path / "weights.h5")
    np.testing.assert_array_equal(clone(IMAGES), expected)


def test_weights_are_the_same_list_in_both_phases():
    ghosted = make()
    before = [id(weight) for weight in ghosted.weights]
    trained = len(ghosted.trainable_weights)
    ghosted.remove_ghosts()
    assert [id(weight) for weight in ghosted.weights] == before
    # A projection has kernel, gamma and beta, and so has a branch; of these two nothing is trained any more.
    assert len(ghosted.trainable_weights) == len(ghosted.plain.trainable_weights) == trained - 6
    assert len(ghosted.trainable_weights) + len(ghosted.non_trainable_weights) == len(before)


def test_every_class_that_files_may_hold_is_known(tmp_path):
    decorated = re.compile(r'@keras\.utils\.register_keras_serializable\("tost_tf"\)\nclass (\w+)')
    found = {
        name: ".".join(path.with_suffix("").parts)
        for path in Path("tost_tf").rglob("*.py")
        for name in decorated.findall(path.read_text())
    }
    assert found == dict(CLASSES)


LOAD = """
import {first}
import {second}
import tf_keras, sys
assert "tost_tf.ghost.model" not in sys.modules
model = tf_keras.models.load_model("whole.h5")
assert type(model).__name__ == "GhostModel" and not model.ghosts_active, model
assert type(model.optimizer).__name__ == "CoupledSGD"
"""


@pytest.mark.parametrize("order", [exhaustive(("tost_tf", "tensorflow")), ("tf_keras", "tost_tf")])
def test_loading_needs_the_import_of_the_package_and_nothing_else(tmp_path, order):
    from tost_tf.training.optimizer import CoupledSGD

    ghosted = make()
    ghosted.compile(CoupledSGD(0.3), LOSS)
    ghosted.remove_ghosts()
    ghosted.save(tmp_path / "whole.h5")
    script = LOAD.format(first=order[0], second=order[1])
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
