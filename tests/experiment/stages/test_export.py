"""A small run is trained and exported by the real command; the files are run by fresh processes."""

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compaction.compact import compact
from tost_tf.compat import tf
from tost_tf.errors import TostError
from tost_tf.experiment.commands.command import run_command
from tost_tf.experiment.commands.export import main
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.stages import export_run as export
from tost_tf.export import latency_of_networks
from tost_tf.export.format import Format
from tost_tf.export.kernels_in_file import by_name
from tost_tf.export.latency import Effort
from tost_tf.export.sizes import sha256_of
from tost_tf.registry import FORMATS


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A stem, a block of two convolutions with a shortcut, and a classifier, trained."""
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    keras.utils.set_random_seed(3)

    def normalised(x, name, filters, strides=1, kernel_size=3):
        x = layers.Conv2D(filters, kernel_size, strides, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization(name=f"{name}_bn")(x)

    x = layers.ReLU(name="relu1")(normalised(image, "stem", 12))
    y = layers.ReLU(name="relu2")(normalised(x, "conv1", 16, 2))
    x = layers.Add(name="add")([normalised(y, "conv2", 16), normalised(x, "shortcut", 16, 2, 1)])
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="relu3")(x))
    folder = tmp_path_factory.mktemp("runs")
    keras.Model(image, layers.Dense(10, name="logits")(x), name="block").save(folder / "block.keras")
    tost.launch(
        RunConfig.make(
            dataset="digits",
            train_examples=200,
            model=str(folder / "block.keras"),
            sparsity=0.94,
            dense_layers="logits",
            recipe="default",
            epochs=2,
            run_dir=str(folder / "run"),
        )
    )
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> tuple[Path, str]:
    """The run in every format: the folder, and what was printed."""
    out, printed = tmp_path_factory.mktemp("exported"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        main([f"--run_dir={run}", f"--out={out}", "--calibration_examples=30"])
    return out, printed.getvalue()


def test_every_format_is_checked_and_described(run, exported):
    out, printed = exported
    manifest = json.loads((out / "manifest.json").read_text())
    assert list(manifest) == ["saved_model", "keras3", "tflite float32", "tflite float16", "tflite int8"]
    result = json.loads((run / "result.json").read_text())
    for name, entry in manifest.items():
        path = out / entry["file"]
        assert "failed" not in entry and entry["sha256"] == sha256_of(path)
        assert entry["accuracy_in_memory"] == result["test_accuracy"]
        assert entry["test_accuracy"] == pytest.approx(result["test_accuracy"], abs=0.03 if "int8" in name else 1e-9)
        # Sparsity is that of the file: int8 makes some more zeros.
        sparsity = pytest.approx(result["layer_sparsity"], abs=0.03 if "int8" in name else 1e-9)
        assert entry["layer_sparsity"] == sparsity and entry["recipe"] == "default"
        assert entry["sparsity"] == pytest.approx(result["sparsity"], abs=0.03 if "int8" in name else 1e-9)
        assert entry["gzip_bytes"] < entry["bytes"] and entry["information_bound_bytes"] < 4 * result["parameters"]
        assert entry["zeros"] > 0.85 * (result["parameters"] - result["nonzero_parameters"])
    assert manifest["saved_model"]["input"].startswith("image") and "mean" in manifest["keras3"]["input"]
    assert "model_int8.tflite" in printed and f"{out}/manifest.json" in printed


def test_compacted_files_are_compared_with_the_network_as_it_was(run, exported, capsys):
    out, _ = exported
    before = sha256_of(out / "model.keras")
    main([f"--run_dir={run}", f"--out={out}", "--compact", "--formats=keras3,tflite", "--precisions=float32"])
    assert sha256_of(out / "model.keras") == before
    whole = json.loads((out / "manifest.json").read_text())["keras3"]
    manifest = json.loads((out / "compact" / "manifest.json").read_text())
    assert list(manifest) == ["keras3", "tflite float32"] and whole["compaction"] is None
    for entry in manifest.values():
        assert "failed" not in entry and entry["accuracy_in_memory"] == whole["accuracy_in_memory"]
        (channels, channels_after), (macs, macs_after) = entry["compaction"]["channels"], entry["compaction"]["macs"]
        assert 0 < channels_after < channels and 0 < macs_after < macs
        assert entry["test_accuracy"] == whole["test_accuracy"]
    # Zeros and weights are those of the file that was written.
    smaller = keras.models.load_model(out / "compact" / "model.keras")
    written = [np.asarray(weight) for weight in smaller.weights]
    assert manifest["keras3"]["weights"] == sum(weight.size for weight in written) < whole["weights"]
    assert manifest["keras3"]["zeros"] == sum(weight.size - np.count_nonzero(weight) for weight in written)
    kernels = {layer.name: np.asarray(layer.kernel) for layer in smaller.layers if hasattr(layer, "kernel")}
    sparsity = {f"{name}/kernel": 1 - np.count_nonzero(kernel) / kernel.size for name, kernel in kernels.items()}
    assert manifest["keras3"]["layer_sparsity"] == pytest.approx(sparsity)
    printed = capsys.readouterr().out
    assert f"compact          {manifest['keras3']['compaction']['summary']}" in printed
    assert f"{out}/compact/manifest.json" in printed


def test_latency_is_measured_by_format_threads_batch_and_network(run, tmp_path, monkeypatch, capsys):
    short = Effort(fewest=3, most=3, seconds=0.0)
    monkeypatch.setattr(latency_of_networks.measure_networks, "__defaults__", ((1, 3), short))
    monkeypatch.setattr(latency_of_networks, "numbers_of_threads", lambda: (2,))
    main([f"--run_dir={run}", f"--out={tmp_path}", "--latency", "--formats=tflite,keras3", "--precisions=float32"])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    printed = capsys.readouterr().out
    assert list(manifest) == ["keras3", "tflite float32"]
    for name, entry in manifest.items():
        rows = entry["latency"]["rows"]
        assert entry["latency"]["summary"] in printed and "Zeros alone" in entry["latency"]["summary"]
        found = [(row["threads"], row["batch"], row["network"]) for row in rows]
        networks = ("dense", "sparse", "compacted")
        assert found == [(2, batch, network) for batch in (1, 3) for network in networks]
        assert all(row["quartiles"][0] <= row["milliseconds"] <= row["quartiles"][1] for row in rows)
        dense, sparse, compacted = rows[:3]
        assert dense["ratio"] == 1.0 and dense["rounds"] == 3
        assert dense["macs"] == dense["nonzero_macs"] == sparse["macs"] > compacted["macs"] >= compacted["nonzero_macs"]
        assert sparse["nonzero_macs"] < 0.2 * sparse["macs"]
        assert sparse["bytes"] == entry["bytes"] and dense["bytes"] > compacted["bytes"]
        assert sum(line.strip().startswith(name) and "×" in line for line in printed.splitlines()) == 2
    assert not (tmp_path / "compact").exists() and "--compact writes it" in printed


def test_a_format_without_a_way_to_measure_it_is_named_before_anything_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "load_run", lambda path: pytest.fail("the run was loaded"))
    kind = Format("weights.npz", "NumPy file", False, write_arrays, load_arrays)
    with FORMATS.temporarily("npz", kind), pytest.raises(TostError, match="latency of the format 'npz' cannot be"):
        export.export_run(tmp_path, export.ExportOptions(formats="npz", latency=True))


def test_what_would_gain_depends_on_the_mask():
    def said(**options):
        return export.what_would_gain(RunConfig.make(dataset="digits", **options))

    assert "no weights are pruned" in said(mask="none") and "--mask_pattern=channels" in said(mask="none")
    assert "the mask (erk) leaves" in said(mask="erk", sparsity=0.7)
    assert "a higher --sparsity" in said(mask="erk", sparsity=0.7, mask_pattern="channels").lower()


def test_compacted_network_that_computes_something_else_is_reported(run, tmp_path, monkeypatch):
    def damaged(model, **options):
        smaller, report = compact(model, **options)
        smaller.get_layer("logits").bias.assign_add([0.01] * 10)
        return smaller, report

    monkeypatch.setattr(export, "compact", damaged)
    with pytest.raises(TostError, match="gives other logits than the model"):
        main([f"--run_dir={run}", f"--out={tmp_path}", "--compact", "--formats=saved_model"])
    assert (tmp_path / "compact" / "saved_model").exists()


def test_ghosts_that_are_kept_are_exported_and_not_compacted(tmp_path):
    layers = [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    keras.Sequential([*layers, keras.layers.Dense(10)]).save(tmp_path / "small.keras")
    run = tmp_path / "run"
    options = {"dataset": "digits", "train_examples": 40, "model": str(tmp_path / "small.keras"), "epochs": 1}
    result = tost.launch(RunConfig.make(**options, ghost_end_epoch=-1, rescale_init=False, run_dir=str(run)))
    manifest = json.loads((run / "export/manifest.json").read_text())["saved_model"]
    assert manifest["has_ghosts"] and "ghost_end_epoch=-1" in result["recipe"]
    assert b"ghost" in (run / "export/saved_model/saved_model.pb").read_bytes()
    names = [variable.name for variable in tf.saved_model.load(str(run / "export/saved_model")).network_variables]
    assert not any("mask" in name or "threshold" in name for name in names), names
    with pytest.raises(TostError, match="still has its ghosts"):
        main([f"--run_dir={run}", "--compact"])


# Every format fails its check in another test; here one that is right is beside it.
@pytest.mark.exhaustive
def test_failed_check_deletes_nothing_and_is_reported(run, tmp_path, monkeypatch):
    main([f"--run_dir={run}", f"--out={tmp_path}", "--formats=saved_model"])
    right = FORMATS["keras3"]

    def damaged(model, path, preprocessing):
        return changed(model, lambda: right.write(model, path, preprocessing), shifted)

    wrong = dataclasses.replace(right, write=damaged)
    with (
        FORMATS.temporarily("keras3", wrong),
        pytest.raises(TostError, match="1 of the files failed .* gives other logits than the model"),
    ):
        main([f"--run_dir={run}", f"--out={tmp_path}", "--formats=keras3,tflite", "--precisions=float32"])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    failed = manifest["keras3"]
    assert "gives other logits" in failed["failed"] and (tmp_path / "model.keras").exists()
    assert 0 < failed["largest_difference"] < 1e3 and failed["zeros"] and failed["test_accuracy"] >= 0
    # What was there before, and what comes after, is as it should be.
    assert manifest["saved_model"]["test_accuracy"] == manifest["tflite float32"]["test_accuracy"]


def changed(model, write, change):
    """What `write` gives while the weights of the model are others."""
    before = model.get_weights()
    model.set_weights(change(before))
    result = write()
    model.set_weights(before)
    return result


def shifted(weights: list[np.ndarray]) -> list[np.ndarray]:
    return [weight + 0.01 * np.sign(weight) for weight in weights]


def permuted(weight: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(weight.ravel()).reshape(weight.shape)


def overflowing(weight: np.ndarray) -> np.ndarray:
    """Finite, but the logits are not."""
    return np.full_like(weight, 3.4e38) if weight.ndim == 2 or weight.shape == (10,) else weight


def swapped_zeros(weights: list[np.ndarray]) -> list[np.ndarray]:
    """A pruned weight of one kernel is back, the smallest of another gone: as many zeros in all."""
    first, second = [place for place, weight in enumerate(weights) if weight.ndim == 4 and weight.size > 100][1:3]
    changed = [weight.copy() for weight in weights]
    changed[first].flat[np.flatnonzero(weights[first] == 0)[0]] = 1e-12
    kept = np.flatnonzero(weights[second])
    changed[second].flat[kept[np.argmin(np.abs(weights[second].flat[kept]))]] = 0
    return changed


WRONG = {
    "saved_model": "ValueError: the converter cannot",
    "keras3": "zeros in conv",
    "tflite float32": "logits that are not finite",
    "tflite float16": "gives other logits than the model",
    "tflite int8": "(root mean square)",
}


def test_each_format_is_checked_with_its_tolerance(run, tmp_path, monkeypatch):
    """Every format goes wrong in another way: each is named, with its numbers, and none stops the next."""

    def fail(*arguments):
        raise ValueError("the converter\n cannot")

    changes = {
        "keras3": swapped_zeros,
        "tflite float32": lambda weights: list(map(overflowing, weights)),
        "tflite float16": lambda weights: list(map(permuted, weights)),
        "tflite int8": lambda weights: list(map(permuted, weights)),
    }

    def damaged(name):
        right = FORMATS[name]
        write = lambda model, *rest: changed(model, lambda: right.write(model, *rest), changes[name])  # noqa: E731
        return dataclasses.replace(right, write=write)

    wrong = {name: damaged(name) for name in changes}
    wrong["saved_model"] = dataclasses.replace(FORMATS["saved_model"], write=fail)
    with contextlib.ExitStack() as stack:
        for name, kind in wrong.items():
            stack.enter_context(FORMATS.temporarily(name, kind))
        arguments = [f"--run_dir={run}", f"--out={tmp_path}", "--calibration_examples=9"]
        assert run_command("tost-export", main, arguments) == 2
    text = (tmp_path / "manifest.json").read_text()
    manifest = json.loads(text)
    assert "NaN" not in text and "Infinity" not in text
    for name, message in WRONG.items():
        assert message in manifest[name]["failed"], name
    whole = manifest["keras3"]
    assert whole["test_accuracy"] == pytest.approx(whole["accuracy_in_memory"], abs=0.01) and whole["zeros"] > 0
    assert whole["tolerance"]["accuracy"] == 0.001 and whole["tolerance"]["logits"] == 1e-5
    assert manifest["tflite float32"]["largest_difference"] is None
    for name, allowed in (("tflite float16", 0.005), ("tflite int8", 0.03)):
        entry = manifest[name]
        assert entry["tolerance"]["accuracy"] == allowed and entry["weights"] > 0 and entry["largest_difference"] > 0.01


def test_missing_keras_3_is_reported_before_anything_is_loaded(monkeypatch, tmp_path):
    def missing():
        raise TostError("Keras 3 is needed for this and cannot be imported: pip install keras")

    monkeypatch.setattr(export, "load_run", lambda path: pytest.fail("the run was loaded"))
    without = dataclasses.replace(FORMATS["keras3"], require=missing)
    with FORMATS.temporarily("keras3", without), pytest.raises(TostError, match="pip install keras"):
        export.export_run(tmp_path, export.ExportOptions(formats="saved_model,keras3"))


def write_arrays(model, path, preprocessing):
    np.savez(path, **{f"{place:03}": weight for place, weight in enumerate(model.get_weights())})
    return False


def load_arrays(path):
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        kernel, bias = (archive[name] for name in sorted(archive.files))
    functions = {"logits": lambda images: images.reshape(len(images), -1) @ kernel + bias}
    return functions, [("logits/kernel", kernel), ("logits/bias", bias)]


def test_format_of_the_user_is_one_value(tmp_path):
    """A linear network in a file of NumPy's, loaded by a process that has NumPy only."""
    layers = [keras.layers.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, name="logits")]
    keras.Sequential(layers).save(tmp_path / "linear.keras")
    options = {"dataset": "digits", "train_examples": 60, "model": str(tmp_path / "linear.keras"), "epochs": 1}
    tost.launch(RunConfig.make(**options, recipe="default", sparsity=0.7, run_dir=str(tmp_path / "run")))
    kind = Format("weights.npz", "NumPy file", False, write_arrays, load_arrays, places_of_kernels=by_name)
    with FORMATS.temporarily("npz", kind):
        main([f"--run_dir={tmp_path / 'run'}", "--formats=npz"])
    entry = json.loads((tmp_path / "run/export/manifest.json").read_text())["npz"]
    assert entry["file"] == "weights.npz" and entry["test_accuracy"] == entry["accuracy_in_memory"]
    assert entry["layer_sparsity"] == pytest.approx({"logits/kernel": 0.7}) and entry["weights"] == 650


def test_requests_that_cannot_be_met(run, tmp_path):
    for arguments, message in (
        ([], "no run is given: name its folder by --run_dir=RUN"),
        (["--run_dir=/no/run"], "is not a run folder"),
        ([f"--run_dir={run}", "--formats=onnx"], "unknown --formats 'onnx'"),
        ([f"--run_dir={run}", "--precisions=int4"], "unknown --precisions 'int4'"),
        ([f"--run_dir={run}", "--formats=keras3", "--precisions=int8"], "is for tflite, which --formats=keras3 leaves"),
        ([f"--run_dir={run}", "--formats=keras3", "--calibration_examples=5"], "calibration_examples=5 is for int8"),
        ([f"--run_dir={run}", "--precisions=float32", "--calibration_examples=5"], "--precisions=float32 leave out"),
        ([f"--run_dir={run}", "more"], "'more' is not a flag"),
    ):
        with pytest.raises(TostError, match=message):
            main(arguments)
