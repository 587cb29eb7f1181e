"""Runs whose masks change: from the options to the files, stopped in the middle of a cycle and resumed."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import tf
from tost_tf.experiment.run.evaluate import evaluate
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.stages.load_run import load_run
from tost_tf.files import read_json

SMALL = {
    "dataset": "digits",
    "train_examples": 90,
    "batch_size": 15,  # 6 steps in an epoch
    "mask": "erk",
    "sparsity": 0.8,
    "dense_layers": "^logits$",
    "epochs": 8,
    "rescale_init": False,
    "seed": 3,
}
ALL = {"dynamic": "rigl", "update_every": 5, "superpose": "caa", "cycle_fraction": 0.5, "cycle_epochs": 2}


@pytest.fixture(scope="module")
def together(network, tmp_path_factory) -> RunDirectory:
    """Ghosts, RigL and superposed tickets in one run."""
    folder = tmp_path_factory.mktemp("runs") / "together"
    tost.launch(tost.RunConfig.make(model=network, **SMALL, **ALL, run_dir=str(folder)))
    return RunDirectory(folder)


def kernels(path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {re.sub(r"^\d+ ", "", name): archive[name] for name in archive.files if "kernel" in name}


def test_masks_change_and_keep_their_counts(together):
    before, after = tost.Masks.load(together.mask), tost.Masks.load(together.final_mask)
    tickets = [kernels(together.tickets / f"ticket{number}.npz") for number in range(3)]
    for ticket in tickets:
        for path, mask in before.items():
            assert np.count_nonzero(ticket[path]) <= mask.sum()
    assert before["logits/kernel"].all() and after["logits/kernel"].all()
    ranked = [path for path in before if path != "logits/kernel"]
    assert sum(after[path].sum() for path in ranked) == sum(before[path].sum() for path in ranked)
    assert any((after[path] != before[path]).any() for path in ranked)
    # Each cycle explores: half of what a layer keeps is dropped, and most of it is somewhere else then.
    path = "middle/kernel"
    moved = np.count_nonzero((tickets[1][path] != 0) & (tickets[0][path] == 0))
    assert 0.25 * before[path].sum() < moved <= 0.5 * before[path].sum()


def test_updates_are_recorded_and_end_before_the_cycles(together):
    rows = json.loads((together.path / "mask_updates.json").read_text())
    assert [row["step"] for row in rows] == [5, 10, 15, 20]  # 4 ordinary epochs of 6 steps
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    # 0.3/2·(1 + cos(π·step/24)): zero where the ordinary epochs end, but for no update.
    assert [row["fraction"] for row in rows] == pytest.approx([0.2690030, 0.1888229, 0.0925975, 0.0200962], rel=1e-5)
    assert all(row["dropped"] == row["grown"] for row in rows) and rows[0]["grown"] > 0
    assert rows[-1]["sparsity"] == pytest.approx(0.8, abs=2e-3)
    assert 0.3 < rows[-1]["initial"] < rows[0]["initial"] < 1


def test_learning_rate_is_that_of_the_cycles(together):
    with open(together.metrics, newline="") as file:
        rows = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    # Drops at 1/2 and 3/4 of the 4 ordinary epochs; steps 5 and 11 of a cycle of 12.
    assert rows[:4] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    assert rows[4:] == pytest.approx([0.001 + 0.004 * 10 / 12, 0.001 + 0.004 * 2 / 12] * 2)


def test_result_reports_tickets_and_superpositions(together):
    result = json.loads(together.result.read_text())
    assert [ticket["epoch"] for ticket in result["tickets"]] == [4, 6, 8]
    assert [row["tickets"] for row in result["superpositions"]] == [1, 2, 3]
    assert result["superpositions"][0]["test_accuracy"] == result["tickets"][0]["test_accuracy"]
    assert result["test_accuracy"] == result["superpositions"][-1]["test_accuracy"]
    assert result["test_accuracy_last"] == result["tickets"][-1]["test_accuracy"]
    assert (
        result["recipe"].startswith("tost")
        and "dynamic=rigl" in result["recipe"]
        and "superpose=caa" in result["recipe"]
    )
    for name in ("tickets.png", "mask_updates.png"):
        assert (together.figures / name).stat().st_size > 10_000


def test_the_superposition_is_exported_and_loaded_again(together):
    run = load_run(together.path)
    final = tost.strip(run.model)
    result = json.loads(together.result.read_text())
    assert evaluate(final, run.data, run.data.test).accuracy == result["test_accuracy"]
    served = tf.saved_model.load(str(together.export / "saved_model")).network_variables
    assert all(np.array_equal(one, other) for one, other in zip(served, final.get_weights(), strict=True))
    assert run.masks == tost.Masks.load(together.final_mask)


# Where the first cycle begins, by the gradient of the step before, and in the second; and after an update of the mask,
# and in the first cycle.
@pytest.mark.parametrize(
    "stops",
    [
        {4 * 6: "epoch 4", 7 * 6 + 1: "step 1 of epoch 8"},
        exhaustive({3 * 6 + 3: "step 3 of epoch 4", 4 * 6 + 4: "step 4 of epoch 5"}),
    ],
    ids=lambda stops: ", ".join(stops.values()),
)
def test_stopped_in_the_middle_of_a_cycle_it_ends_the_same(together, network, tmp_path, stopped_after, stops):
    config = tost.RunConfig.make(model=network, **SMALL, **ALL, run_dir=str(tmp_path / "run"))
    done = 0
    for step, where in stops.items():
        assert stopped_after(config, step - done) == where
        done = step
    tost.launch(config)
    mine = RunDirectory(tmp_path / "run")
    for name in ("ticket0.npz", "ticket1.npz", "ticket2.npz"):
        assert_same_arrays(mine.tickets / name, together.tickets / name)
    assert_same_arrays(mine.superposed_weights, together.superposed_weights)
    assert_same_arrays(mine.final_mask, together.final_mask)
    assert (mine.path / "mask_updates.csv").read_text() == (together.path / "mask_updates.csv").read_text()


def assert_same_arrays(one, other) -> None:
    with np.load(one) as mine, np.load(other) as theirs:
        assert mine.files == theirs.files
        for name in mine.files:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


# Two whole runs; `together` has the same parts.
@pytest.mark.exhaustive
def test_without_cycles_the_result_is_the_end_of_the_ordinary_run(network, tmp_path):
    options = {**SMALL, "epochs": 3, "recipe": "default", "dynamic": "set", "update_every": 4}
    ordinary = tost.launch(tost.RunConfig.make(model=network, **options, run_dir=str(tmp_path / "ordinary")))
    one = {"superpose": "caa", "cycle_fraction": 0.0}
    superposed = tost.launch(tost.RunConfig.make(model=network, **options, **one, run_dir=str(tmp_path / "one")))
    assert superposed["test_accuracy"] == superposed["test_accuracy_last"] == ordinary["test_accuracy_last"]
    assert len(superposed["tickets"]) == 1
    runs = [tf.train.load_checkpoint(str(tmp_path / name / "checkpoints/epoch-3")) for name in ("ordinary", "one")]
    for name in runs[0].get_variable_to_shape_map():
        np.testing.assert_array_equal(runs[0].get_tensor(name), runs[1].get_tensor(name), err_msg=name)


def test_granet_ends_at_the_sparsity_and_exports_nothing_denser(network, tmp_path):
    options = {
        **SMALL,
        "epochs": 4,
        "recipe": "default",
        "dynamic": "granet",
        "update_every": 6,
        "initial_sparsity": 0.3,
    }
    result = tost.launch(tost.RunConfig.make(model=network, **options, run_dir=str(tmp_path / "granet")))
    directory = RunDirectory(tmp_path / "granet")
    rows = json.loads((directory.path / "mask_updates.json").read_text())
    # Masks change in the first 18 of 24 steps: two updates, 0.8 - 0.5·(1 - p)³ for p = 1/2 and 1.
    assert [row["step"] for row in rows] == [6, 12]
    assert [row["sparsity"] for row in rows] == pytest.approx([0.7375, 0.8], abs=2e-3)
    assert [row["fraction"] for row in rows] == pytest.approx([0.225, 0.075])
    ranked = [path for path in tost.Masks.load(directory.mask) if path != "logits/kernel"]
    for file, sparsity in ((directory.mask, 0.3), (directory.final_mask, 0.8)):
        masks = tost.Masks.load(file)
        size = sum(masks[path].size for path in ranked)
        assert sum(int(masks[path].sum()) for path in ranked) == round((1 - sparsity) * size)
    assert result["best_epoch"] >= 2


# Tickets whose mask stays are superposed in tests/dynamic/test_patterns.py, too.
@pytest.mark.exhaustive
@pytest.mark.parametrize("growth", ["none", "random"])
def test_a_fixed_mask_can_be_superposed(network, tmp_path, growth):
    options = {**SMALL, "epochs": 5, "recipe": "default", "superpose": "cima", "cycle_fraction": 0.4, "cycle_epochs": 1}
    config = tost.RunConfig.make(model=network, **options, cycle_growth=growth, run_dir=str(tmp_path / "run"))
    tost.launch(config)
    masks = [tost.Masks.load(tmp_path / "run" / name) for name in ("mask.npz", "final_mask.npz")]
    assert masks[0].kept == masks[1].kept
    assert (masks[0] == masks[1]) == (growth == "none")


def test_mirrored_keeps_the_counts_and_resumes_on_one_device(
    network, tmp_path, two_replicas, monkeypatch, stopped_after, caplog
):
    """No normalisation statistics are compared: each replica sees half of a batch."""
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: two_replicas)
    options = {**SMALL, "epochs": 2, "recipe": "default", "dynamic": "rigl", "update_every": 3}
    options |= {"model": network, "run_dir": str(tmp_path / "run")}
    stopped_after(tost.RunConfig.make(**options, distribution="mirrored"), 5)
    assert read_json(tmp_path / "run/devices.json") == {"devices": 2}
    tost.launch(tost.RunConfig.make(**options))
    assert "the run was on 2 device(s) and resumes on 1" in caplog.text
    assert [row["epoch"] for row in RunDirectory(tmp_path / "run").read_metrics()] == [1, 2]
    before, after = (tost.Masks.load(tmp_path / "run" / name) for name in ("mask.npz", "final_mask.npz"))
    assert before.kept == after.kept and before != after


def test_weights_not_finite_at_a_mask_update_are_reported_with_the_checkpoint(network, tmp_path):
    options = {**SMALL, "epochs": 2, "recipe": "default", "dynamic": "rigl", "update_every": 1, "learning_rate": 3e38}
    options["weight_decay"] = 1e30  # so that the weights themselves are infinite after the first step
    message = r"training stopped, the score of .*/kernel is not finite .* after step 1.*: there is no checkpoint yet; a"
    with pytest.raises(tost.TostError, match=message):
        tost.launch(tost.RunConfig.make(model=network, **options, run_dir=str(tmp_path / "run")))


def test_too_few_steps_for_an_update_are_refused(network, tmp_path):
    options = {**SMALL, "epochs": 2, "recipe": "default", "dynamic": "rigl", "update_every": 10}
    with pytest.raises(
        tost.TostError, match="update_every=10 leaves no update: masks change only in the first 9 steps"
    ):
        tost.launch(tost.RunConfig.make(model=network, **options, run_dir=str(tmp_path / "run")))


def test_a_lost_ticket_is_named(together, network, tmp_path):
    shutil.copytree(together.path, tmp_path / "run")
    (tmp_path / "run/tickets/ticket1.npz").unlink()
    for name in ("result.json", "superposition.json"):
        (tmp_path / "run" / name).unlink()
    with pytest.raises(tost.TostError, match=r"ticket1\.npz is missing"):
        tost.launch(tost.RunConfig.make(model=network, **SMALL, **ALL, run_dir=str(tmp_path / "run")))
