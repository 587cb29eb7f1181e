"""A small run is trained and exported by the real command; the files are run by fresh processes."""

import json
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.apps.export import main
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
