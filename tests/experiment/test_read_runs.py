"""What is found in folders of runs, whole and broken."""

import json
import math

import pytest

from tests.experiment.run_folders import write_run
from tost_tf.errors import TostError
from tost_tf.experiment.read_runs import differing_options, find_runs, read_curves


def test_runs_are_found_at_any_depth_in_natural_order(tmp_path):
    for seed in (10, 9):
        write_run(tmp_path / f"study/run_{seed}", 0.3, seed=seed)
    write_run(tmp_path / "alone", None)
    found = find_runs([tmp_path, tmp_path / "study"])  # one that is named twice counts once
    assert [run.folder.name for run in found.runs] == ["alone", "run_9", "run_10"]
    assert [run.state for run in found.runs] == ["unfinished", "finished", "finished"]
    assert not found.problems


def test_keys(tmp_path):
    write_run(tmp_path / "a", 0.3, mask="snip", sparsity=0.9, recipe="default", ghost_skips="identity", epochs=8)
    write_run(tmp_path / "b", 0.3, mask="none", recipe="tost", ghost_end_epoch=-1)
    write_run(tmp_path / "c", 0.3, mask_file="masks/best.npz", recipe="default")
    write_run(tmp_path / "d", 0.3, mask="lottery", mask_file="masks/a_{sparsity}.npz", recipe="default", epochs=9)
    snip, dense, file, ticket = (run.keys for run in find_runs([tmp_path]).runs)
    assert (snip["mask"], snip["sparsity"], snip["recipe"]) == ("snip", 0.9, "default ghost_skips=identity")
    assert (snip["ghosts"], snip["ghost_end"], snip["epochs"]) == ("identity", "faded (linear) by epoch 4", 8)
    assert (dense["sparsity"], dense["ghosts"], dense["ghost_end"]) == (0.0, "pswish + projection", "kept")
    assert (file["mask"], file["sparsity"], file["ghost_end"]) == ("best", 0.8931, "no ghosts")
    assert ticket["mask"] == "lottery"


def test_values(tmp_path):
    path = write_run(tmp_path / "a", 0.3)
    result = json.loads((path / "result.json").read_text())
    result |= {"tickets": [{"test_accuracy": 0.2}, {"test_accuracy": 0.25}], "superpositions": [], "name": "text"}
    (path / "result.json").write_text(json.dumps(result))
    write_run(tmp_path / "b", 0.4)
    superposed, ordinary = find_runs([tmp_path]).runs
    assert superposed.values("tickets.1.test_accuracy") == {"tickets.1.test_accuracy": 0.25}
    assert superposed.values("tickets.2.test_accuracy") == superposed.values("name") == superposed.values("none") == {}
    assert superposed.values("collapsed_layers") == {"collapsed_layers": 2.0}
    assert ordinary.values("layer_density") == {"density of conv/kernel": 0.25, "density of logits/kernel": 1.0}
    assert superposed.values("end_accuracy") == {"end_accuracy": 0.3}  # the superposition
    assert ordinary.values("end_accuracy")["end_accuracy"] == pytest.approx(0.39)  # the last epoch


def test_problems_are_reported_run_by_run(tmp_path):
    good = write_run(tmp_path / "good", 0.3)
    broken = {
        name: write_run(tmp_path / name, 0.3, seed=1) for name in ("cut", "json", "list", "foreign", "lost", "other")
    }
    (broken["cut"] / "config.flags").write_text("--seed=1\n")
    (broken["json"] / "result.json").write_text('{"test_accuracy": 0.')
    (broken["list"] / "result.json").write_text("[1, 2]")
    (broken["foreign"] / "result.json").write_text('{"loss": 0.25}')
    (broken["lost"] / "config.flags").unlink()
    other = broken["other"] / "config.flags"
    other.write_text(other.read_text().replace("--seed=1", "--optimiser=lamb"))
    (tmp_path / "sweep.json").write_text('{"cells": [{"run": 3}]}')
    found = find_runs([tmp_path])
    assert [run.folder for run in found.runs] == [good]
    told = {path.rpartition("/")[2]: problem for path, problem in found.problems.items()}
    assert set(told) == {*broken, "sweep.json"}
    assert "incomplete" in told["cut"] and "result.json cannot be read" in told["json"]
    assert "not a JSON object" in told["list"] and "no 'test_accuracy'" in told["foreign"]
    assert "no config.flags" in told["lost"] and "optimiser" in told["other"]


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(TostError, match="'.*/nothing' is not a folder of runs"):
        find_runs([tmp_path / "nothing"])


def test_curves(tmp_path):
    path = write_run(tmp_path / "a", 0.3)
    (run,) = find_runs([tmp_path]).runs
    assert [(row["epoch"], row["val_accuracy"]) for row in read_curves(run)] == [(1, 0.1), (2, 0.2)]
    (path / "metrics.csv").write_text("epoch,val_accuracy,plain_loss\n1,0.3,0.7\n2,0.4,\n")  # without ghosts
    assert [row["val_accuracy"] for row in read_curves(run)] == [0.3, 0.4]
    for text in ("epoch,val_accuracy\n1,\n", "epoch,loss\n1,2\n", "epoch,val_accuracy\n1\n"):
        (path / "metrics.csv").write_text(text)
        with pytest.raises(TostError, match=r"metrics.csv"):
            read_curves(run)


def test_cells_of_a_sweep_that_have_not_started_or_have_failed(tmp_path):
    write_run(tmp_path / "b", 0.3, seed=1)
    write_run(tmp_path / "a", None, seed=2)
    arguments = ["--dataset=digits", "--model=resnet8"]
    cells = [
        {"run": "b", "arguments": arguments, "labels": {"tweak": "best"}},
        {"run": "a", "arguments": arguments, "error": "the disk is full"},
        {"run": "c", "arguments": [*arguments, "--seed=3", "--sparsity=0.7"]},
    ]
    (tmp_path / "sweep.json").write_text(json.dumps({"cells": cells}))
    found = find_runs([tmp_path])
    assert [(run.folder.name, run.state) for run in found.runs] == [
        ("b", "finished"),
        ("a", "failed"),
        ("c", "pending"),
    ]
    best, failed, pending = found.runs
    assert best.keys["tweak"] == "best" and failed.error == "the disk is full"
    assert pending.keys["sparsity"] == 0.7 and not pending.result


def test_differing_options(tmp_path):
    for seed, epochs in ((0, 4), (1, 6)):
        write_run(tmp_path / str(seed), 0.3, seed=seed, epochs=epochs)
    runs = find_runs([tmp_path]).runs
    assert differing_options(runs, ("lr_drop_epochs", "ghost_end_epoch", "lottery_epochs")) == {"epochs": [4, 6]}
    assert differing_options(runs[:1]) == {} and math.isclose(runs[0].result["test_accuracy"], 0.3)


def test_a_finished_run_whose_data_are_gone_is_reported(tmp_path):
    path = write_run(tmp_path / "a", 0.3)
    text = (path / "config.flags").read_text()
    (path / "config.flags").write_text(text.replace("--dataset=digits", f"--dataset=npz:{tmp_path}/gone.npz"))
    found = find_runs([tmp_path])
    assert not found.problems and found.runs[0].config.data.dataset == f"npz:{tmp_path}/gone.npz"
