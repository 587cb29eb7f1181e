"""A small run is trained with its recordings, then analysed and compared by the real command."""

import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

import tost_tf as tost
from tost_tf.analysis.analysis import Analysis
from tost_tf.drawing import save, titled_axes
from tost_tf.errors import TostError
from tost_tf.experiment.analyze_options import AnalyzeOptions
from tost_tf.experiment.commands.analyze import main
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.callbacks import SaveCheckpoints
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.mask_board import mask_image
from tost_tf.experiment.run.record import RecordGradientFlow
from tost_tf.experiment.run.rows import read_rows, write_rows
from tost_tf.experiment.stages.load_run import load_run
from tost_tf.registry import ANALYSES

OPTIONS = {
    "dataset": "digits",
    "train_examples": 60,
    "batch_size": 24,
    "dense_layers": "logits",
    "mask": "erk",
    "sparsity": 0.8,
    "epochs": 3,
    "rescale_init": False,
    "deterministic": True,
}
RECORDING = {"gradient_flow_every": 2, "hessian_every": 2, "record_examples": 30}


@pytest.fixture(scope="module")
def runs(network, tmp_path_factory) -> Path:
    """The same run twice: with everything recorded, and with nothing."""
    folder = tmp_path_factory.mktemp("runs")
    tost.launch(RunConfig.make(**OPTIONS, **RECORDING, model=network, run_dir=str(folder / "loud")))
    tost.launch(RunConfig.make(**OPTIONS, model=network, run_dir=str(folder / "quiet")))
    return folder


def test_what_is_recorded_while_training(runs):
    flow = read_rows(runs / "loud/analysis", "gradient_flow")
    # Three steps an epoch: after steps 2, 4, 6 and 8.
    assert [(row["step"], row["epoch"]) for row in flow] == [(2, 1), (4, 2), (6, 2), (8, 3)]
    assert all(0 < row["flow"] < 100 for row in flow)
    trajectory = read_rows(runs / "loud/analysis", "trajectory")
    assert [(row["epoch"], row["index"]) for row in trajectory] == [(e, i) for e in (1, 2) for i in (1, 2, 3)]
    assert trajectory[0]["eigenvalue"] >= trajectory[1]["eigenvalue"] >= trajectory[2]["eigenvalue"]
    lines = (runs / "loud/analysis/trajectory.csv").read_text().splitlines()
    assert lines[0] == "epoch,index,eigenvalue,residual" and len(lines) == 7


def test_recording_changes_no_weight_and_writes_nothing_when_off(runs):
    loud, quiet = (json.loads((runs / name / "result.json").read_text()) for name in ("loud", "quiet"))
    assert quiet["test_loss"] == loud["test_loss"]
    assert not (runs / "quiet/analysis/gradient_flow.json").exists()


def test_a_run_that_resumes_records_every_step_once(network, tmp_path, monkeypatch, stopped_after):
    """Killed before and after the checkpoint of an epoch: the rows of its steps are there already, or to be kept."""
    options = OPTIONS | {"model": network, "recipe": "default", "gradient_flow_every": 1}
    config = RunConfig.make(**options, run_dir=str(tmp_path / "run"))
    for number, callback in ((1, SaveCheckpoints), (1, RecordGradientFlow)):
        original = callback.on_epoch_end

        def killed(self, epoch, logs=None, number=number, original=original):
            if epoch == number:
                raise KeyboardInterrupt
            original(self, epoch, logs)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(callback, "on_epoch_end", killed)
            tost.launch(config)
    assert stopped_after(config, 6) == "epoch 3"
    assert [row["step"] for row in read_rows(tmp_path / "run/analysis", "gradient_flow")] == list(range(1, 10))


def test_run_is_loaded_with_its_exported_weights(runs):
    run = load_run(runs / "loud")
    result = json.loads((runs / "loud/result.json").read_text())
    assert run.epoch == result["best_epoch"] and not run.model.ghosts_active
    from tost_tf.experiment.run.evaluate import evaluate

    assert evaluate(run.model, run.data, run.data.test).loss == pytest.approx(result["test_loss"], rel=1e-6)


def test_every_analysis_of_a_run(runs, capsys):
    main([f"--run_dir={runs}/loud", "--examples=40", "--points=3", "--iterations=4"])
    folder = runs / "loud/analysis"
    printed = capsys.readouterr().out
    for name in ANALYSES:
        assert read_rows(folder, name) and (folder / f"{name}.png").exists() and f"{folder / name}.png" in printed
    activations = read_rows(folder, "activations")
    assert len(activations) == 2 and all(0 < row["zero"] < 1 for row in activations)
    densities = {row["layer"]: row["density"] for row in read_rows(folder, "mask")}
    layers = json.loads((runs / "loud/result.json").read_text())["layer_sparsity"]
    assert densities["middle"] == pytest.approx(1 - layers["middle/kernel"])
    middle = read_rows(folder, "weights")[4]
    assert middle == {"x": 0, "y": 0, "loss": pytest.approx(read_rows(folder, "eigenvector")[1]["loss"])}


def test_two_runs_in_one_figure(runs, tmp_path, capsys):
    what = "--what=mask,activations"
    main(["--compare", str(runs / "quiet"), str(runs / "loud"), what, f"--out={tmp_path}"])
    assert {path.name for path in tmp_path.iterdir()} == {
        *("mask.png", "activations.png"),
        *("overlap.png", "overlap.json", "overlap.csv"),
    }
    assert {row["overlap"] for row in read_rows(tmp_path, "overlap")} == {1.0}  # one seed, one mask
    # Computed with the options of the comparison, whatever was there before.
    main([f"--run_dir={runs}/quiet", "--what=activations", "--epsilon=0.5"])
    before = read_rows(runs / "quiet/analysis", "activations")
    main(["--compare", str(runs / "quiet"), str(runs / "loud"), "--what=activations", f"--out={tmp_path}"])
    after = read_rows(runs / "quiet/analysis", "activations")
    assert after == read_rows(runs / "loud/analysis", "activations") and after != before


def test_analysis_of_the_user_is_one_value(runs, tmp_path):
    def largest(subject, options):
        kernels = {layer.name: layer.kernel.numpy() for layer in tost.strip(subject.model).layers[-1:]}
        return [{"layer": name, "largest": float(np.abs(k).max()), "seed": options.seed} for name, k in kernels.items()]

    def draw(results, path, title):
        figure, axes = titled_axes(title)
        axes.bar(list(results), [rows[0]["largest"] for rows in results.values()])
        save(figure, path)

    with ANALYSES.temporarily("largest", Analysis(draw, "largest weight", largest)):
        main([f"--run_dir={runs}/quiet", "--what=largest", "--seed=7"])
    (row,) = read_rows(runs / "quiet/analysis", "largest")
    assert row["layer"] == "logits" and row["largest"] > 0 and row["seed"] == 7
    assert (runs / "quiet/analysis/largest.png").stat().st_size > 5000


def test_requests_that_cannot_be_met(runs, tmp_path):
    def refused(message, *arguments):
        with pytest.raises(TostError, match=message):
            main(arguments)

    refused(
        "trajectory was not recorded in .* train with --hessian_every=1", f"--run_dir={runs}/quiet", "--what=trajectory"
    )
    refused("has the same run twice", "--compare", f"{runs}/quiet", f"{runs}/loud/../quiet", "--what=mask")
    refused("give either --run_dir=RUN, or --compare RUN_A RUN_B")
    refused("'/no/run' is not a run folder", "--run_dir=/no/run")
    refused("needs another run", "--compare", str(runs / "loud"))
    refused("unknown --what 'hesian': did you mean 'hessian'", f"--run_dir={runs}/loud", "--what=hesian")
    refused("--out='x' is for a comparison", f"--run_dir={runs}/loud", "--out=x")
    refused("'more' is not a flag", f"--run_dir={runs}/loud", "more")
    refused("--points is 2, it must be at least 3", f"--run_dir={runs}/loud", "--points=2")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/config.flags").write_text((runs / "loud/config.flags").read_text())
    refused("has no checkpoint yet", f"--run_dir={tmp_path}/begun")
    (tmp_path / "begun/config.flags").write_text("--epochs=3")
    refused("begun/config.flags' cannot be understood: it is incomplete", f"--run_dir={tmp_path}/begun")


def test_tensorboard_has_masks_ghosts_and_sparsity(runs):
    events = EventAccumulator(str(runs / "loud/tensorboard/train"), size_guidance={"tensors": 0, "images": 0}).Reload()
    tags = events.Tags()["tensors"]
    assert "mask/middle/kernel" in tags and "sparsity/middle/kernel" in tags
    assert {"epoch_alpha", "epoch_beta", "epoch_gradient_flow"} <= set(tags)
    alphas = [float(make_ndarray(event.tensor_proto)) for event in events.Tensors("epoch_alpha")]
    assert alphas == pytest.approx([row["alpha"] for row in RunDirectory(runs / "loud").read_metrics()])


def test_mask_images():
    mask = np.zeros((2, 1, 3))
    mask[1, 0, 2] = 1
    np.testing.assert_array_equal(mask_image(mask)[..., 0], [[0, 0, 0], [0, 0, 1]])
    large = np.zeros((1024, 700))
    large[:2, :2] = 1
    picture = mask_image(large)[..., 0]
    assert picture.shape == (512, 350) and picture[0, 0] == 1 and picture.sum() == 1


def test_rows_on_disk(tmp_path):
    rows = [{"a": 1, "b": 0.5}, {"a": 2, "b": float("inf")}]
    write_rows(tmp_path / "new", "name", rows)
    again = read_rows(tmp_path / "new", "name")
    assert again[0] == rows[0] and again[1]["a"] == 2 and np.isnan(again[1]["b"])
    assert (tmp_path / "new/name.csv").read_text() == "a,b\n1,0.5\n2,inf\n"
    assert "NaN" not in (tmp_path / "new/name.json").read_text()
    (tmp_path / "new/name.json").write_text("[{")
    assert read_rows(tmp_path / "new", "name") == [] and read_rows(tmp_path, "other") == []
    assert AnalyzeOptions().what == "all"
