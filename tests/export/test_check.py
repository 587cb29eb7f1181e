"""A SavedModel of a small sparse network, run by a fresh process, and what is found where it is not right."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.errors import TostError
from tost_tf.export.check import check_file
from tost_tf.export.fresh_process import run_in_fresh_process
from tost_tf.registry import FORMATS

PIXELS = np.random.default_rng(1).integers(0, 256, (9, 6, 6, 2)).astype(np.uint8)
MEAN, DEVIATION = (0.1, 0.4), (0.5, 0.3)
INPUTS = ((PIXELS / 255 - MEAN) / DEVIATION).astype(np.float32)


@pytest.fixture
def final(small_model):
    return tost.strip(tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.8)))


def checked(path: Path, network: keras.Model) -> dict:
    """What is found in a SavedModel; the labels are what the network says, but for two images of nine."""
    labels = network(INPUTS).numpy().argmax(1)
    labels[:2] = (labels[:2] + 1) % 4
    part = LabelledImages(PIXELS, labels.astype(np.int32))
    return check_file(FORMATS["saved_model"], path, network, network, ImageData(part, part, part, 4, MEAN, DEVIATION))


def test_fresh_process_agrees_and_finds_packages_that_only_the_users_settings_name(final, tmp_path, monkeypatch):
    """As TensorFlow installed with `pip install --user`, or on PYTHONPATH: a bare Python finds none."""
    tost.export.saved_model(final, tmp_path / "model", MEAN, DEVIATION)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    found = checked(tmp_path / "model", final)
    assert "failed" not in found and found["largest_difference"] <= 1e-5
    assert found["test_accuracy"] == found["accuracy_in_memory"] == pytest.approx(7 / 9)
    assert found["weights"] == final.count_params()
    # Beside the pruned weights, biases, betas and moving means start at zero.
    assert found["zeros"] == sum(int(np.sum(weight == 0)) for weight in final.get_weights())
    assert found["zeros"] > 0.8 * 269


def test_process_finds_what_is_wrong(final, tmp_path, warm):
    tost.export.saved_model(final, tmp_path / "model", MEAN, DEVIATION)
    changed = keras.models.clone_model(final)
    changed.set_weights([weight + 0.01 for weight in final.get_weights()])
    wrong = checked(tmp_path / "model", changed)["failed"]
    assert "gives other logits than the model: they differ by" in wrong and "zeros in stem/kernel" in wrong
    (tmp_path / "model/saved_model.pb").write_bytes(b"broken")
    assert "does not load in a fresh process" in checked(tmp_path / "model", final)["failed"]


def test_export_that_needs_more_than_it_says_is_refused(final, tmp_path):
    def load(path):
        import keras

        return {"logits": keras.ops.sum}, []

    tost.export.saved_model(final, tmp_path / "model", MEAN, DEVIATION)
    kind = dataclasses.replace(FORMATS["saved_model"], load=load)
    with pytest.raises(TostError, match="'.*model' does not load in a fresh process: .* meant to load without keras"):
        run_in_fresh_process(kind, tmp_path / "model", PIXELS)


def test_signature_for_bytes_is_run_too(final, tmp_path, warm):
    wrong = tf.function(
        lambda image: {"logits": final(tf.cast(image, tf.float32) / 255)},
        input_signature=[tf.TensorSpec((None, 6, 6, 2), tf.uint8, name="image")],
    )
    tost.export.saved_model(final, tmp_path / "model", MEAN, DEVIATION)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    signature = loaded.signatures["serving_default"]
    module = tf.Module()
    module.network_variables, module.loaded, module.final = list(final.variables), loaded, final
    tf.saved_model.save(module, str(tmp_path / "other"), {"serving_default": signature, "serving_uint8": wrong})
    assert "gives other logits than the model" in checked(tmp_path / "other", final)["failed"]


def test_a_source_that_changes_while_a_network_is_trained_does_no_harm(final, tmp_path, warm, monkeypatch):
    """Formats keep the code of their functions from when they were made."""
    tost.export.saved_model(final, tmp_path / "model", MEAN, DEVIATION)

    def changed(function):
        raise OSError("could not get source code")

    monkeypatch.setattr("inspect.getsource", changed)
    assert "failed" not in checked(tmp_path / "model", final)
    unreadable = dataclasses.replace(FORMATS["saved_model"], load=lambda path: ({}, []))
    with pytest.raises(TostError, match="the code of the function that loads a SavedModel cannot be read"):
        run_in_fresh_process(unreadable, tmp_path / "model", PIXELS)
