"""A small run is trained and exported by the real command; the files are run by fresh processes."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import tost_tf as tost
from tost_tf.apps.export import main
from tost_tf.compaction.compact import compact
from tost_tf.config.run_config import RunConfig
from tost_tf.errors import TostError
from tost_tf.export.sizes import sha256_of
from tost_tf.job import export


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    tost.launch(
        RunConfig.make(
            dataset="digits",
            train_examples=200,
            model="resnet20",
            width_multiplier=0.25,
            sparsity=0.9,
            dense_layers="logits",
            recipe="default",
            epochs=2,
            run_dir=str(folder),
        )
    )
    return folder


def test_every_format_is_checked_and_described(run, tmp_path, capsys):
    main([f"--run_dir={run}", f"--out={tmp_path}", "--calibration_examples=30"])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert list(manifest) == ["saved_model", "keras3", "tflite float32", "tflite float16", "tflite int8"]
    result = json.loads((run / "result.json").read_text())
    for name, entry in manifest.items():
        path = tmp_path / entry["file"]
        assert "failed" not in entry and entry["sha256"] == sha256_of(path)
        assert entry["accuracy_in_memory"] == result["test_accuracy"]
        assert entry["test_accuracy"] == pytest.approx(result["test_accuracy"], abs=0.03 if "int8" in name else 1e-9)
        assert entry["layer_sparsity"] == result["layer_sparsity"] and entry["recipe"] == "default"
        assert entry["gzip_bytes"] < entry["bytes"] and entry["information_bound_bytes"] < 4 * result["parameters"]
        assert entry["zeros"] > 0.85 * (result["parameters"] - result["nonzero_parameters"])
    assert manifest["saved_model"]["input"].startswith("image") and "mean" in manifest["keras3"]["input"]
    printed = capsys.readouterr().out
    assert "model_int8.tflite" in printed and f"{tmp_path}/manifest.json" in printed


def test_compacted_files_are_compared_with_the_network_as_it_was(run, tmp_path, capsys):
    main([f"--run_dir={run}", f"--out={tmp_path}", "--formats=keras3"])
    before = sha256_of(tmp_path / "model.keras")
    main([f"--run_dir={run}", f"--out={tmp_path}", "--compact", "--formats=keras3,tflite", "--precisions=float32"])
    assert sha256_of(tmp_path / "model.keras") == before
    whole = json.loads((tmp_path / "manifest.json").read_text())["keras3"]
    manifest = json.loads((tmp_path / "compact" / "manifest.json").read_text())
    assert list(manifest) == ["keras3", "tflite float32"] and whole["compaction"] is None
    for entry in manifest.values():
        assert "failed" not in entry and entry["accuracy_in_memory"] == whole["accuracy_in_memory"]
        (channels, channels_after), (macs, macs_after) = entry["compaction"]["channels"], entry["compaction"]["macs"]
        assert 0 < channels_after < channels and 0 < macs_after < macs
        assert entry["test_accuracy"] == whole["test_accuracy"]
    # Zeros and weights are those of the file that was written.
    smaller = keras.models.load_model(tmp_path / "compact" / "model.keras")
    written = [np.asarray(weight) for weight in smaller.weights]
    assert manifest["keras3"]["weights"] == sum(weight.size for weight in written) < whole["weights"]
    assert manifest["keras3"]["zeros"] == sum(weight.size - np.count_nonzero(weight) for weight in written)
    kernels = {layer.name: np.asarray(layer.kernel) for layer in smaller.layers if hasattr(layer, "kernel")}
    sparsity = {f"{name}/kernel": 1 - np.count_nonzero(kernel) / kernel.size for name, kernel in kernels.items()}
    assert manifest["keras3"]["layer_sparsity"] == pytest.approx(sparsity)
    printed = capsys.readouterr().out
    assert f"compact          {manifest['keras3']['compaction']['summary']}" in printed
    assert f"{tmp_path}/compact/manifest.json" in printed


def test_compacted_network_that_computes_something_else_is_reported(run, tmp_path, monkeypatch):
    def damaged(model):
        smaller, report = compact(model)
        smaller.get_layer("logits").bias.assign_add([0.01] * 10)
        return smaller, report

    monkeypatch.setattr(export, "compact", damaged)
    with pytest.raises(TostError, match="gives other logits than the model"):
        main([f"--run_dir={run}", f"--out={tmp_path}", "--compact", "--formats=saved_model"])
    assert (tmp_path / "compact" / "saved_model").exists()


def test_network_with_its_ghosts_in_it_is_not_compacted(tmp_path):
    layers = [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    keras.Sequential([*layers, keras.layers.Dense(10)]).save(tmp_path / "small.keras")
    options = {"dataset": "digits", "train_examples": 40, "model": str(tmp_path / "small.keras"), "epochs": 1}
    config = RunConfig.make(**options, ghost_end_epoch=-1, rescale_init=False, run_dir=str(tmp_path / "run"))
    tost.launch(config)
    with pytest.raises(TostError, match="still has its ghosts in it"):
        main([f"--run_dir={tmp_path / 'run'}", "--compact"])


def test_failed_check_deletes_nothing_and_is_reported(run, tmp_path, monkeypatch):
    main([f"--run_dir={run}", f"--out={tmp_path}", "--formats=saved_model"])
    original = export.keras3

    def damaged(model, path):
        before = model.get_weights()
        model.set_weights([weight + 0.01 * np.sign(weight) for weight in before])
        original(model, path)
        model.set_weights(before)

    monkeypatch.setattr(export, "keras3", damaged)
    with pytest.raises(TostError, match="1 of the files failed their check .* gives other logits than the model"):
        main([f"--run_dir={run}", f"--out={tmp_path}", "--formats=keras3,tflite", "--precisions=float32"])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert "gives other logits" in manifest["keras3"]["failed"] and (tmp_path / "model.keras").exists()
    # What was there before, and what comes after, is as it should be.
    assert manifest["saved_model"]["test_accuracy"] == manifest["tflite float32"]["test_accuracy"]


def test_requests_that_cannot_be_met(run, tmp_path):
    for arguments, message in (
        (["--run_dir=/no/run"], "is no run's folder"),
        ([f"--run_dir={run}", "--formats=onnx"], "unknown --formats 'onnx'"),
        ([f"--run_dir={run}", "--precisions=int4"], "unknown --precisions 'int4'"),
        ([f"--run_dir={run}", "more"], "'more' is no flag"),
    ):
        with pytest.raises(TostError, match=message):
            main(arguments)
