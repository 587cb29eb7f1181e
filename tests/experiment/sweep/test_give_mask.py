"""A run with a shared mask has what it would have found itself."""

import json

import numpy as np
import pytest

from tests.experiment.run_folders import write_run
from tost_tf.errors import TostError
from tost_tf.experiment.commands.command import run_command
from tost_tf.experiment.commands.mask import main
from tost_tf.experiment.flags import parse
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.stages.launch import launch
from tost_tf.experiment.sweep.give_mask import give_mask
from tost_tf.experiment.sweep.grid import Cell
from tost_tf.experiment.sweep.plan import plan
from tost_tf.files import read_object

SMALL = (
    *("--dataset=digits", "--train_examples=120", "--batch_size=48", "--width_multiplier=0.25"),
    *("--dense_layers=logits", "--sparsity=0.8", "--deterministic"),
    *(
        "--model=resnet8",
        "--mask=snip",
        "--mask_examples_per_class=5",
        "--mask_scope=layer",
        "--recipe=default",
        "--epochs=2",
    ),
)


@pytest.mark.exhaustive
def test_the_shared_mask_is_the_one_a_run_finds_itself(tmp_path):
    cells = [Cell({"a": a}, {}, (*SMALL, f"--label_smoothing={a}")) for a in ("0.1", "0.2")]
    search, run, _ = plan(cells, (), str(tmp_path / "runs")).jobs
    assert run_command("tost-mask", main, search.arguments) == 0
    launch(parse(run.arguments))  # as --dry_run has it
    own, shared = (dict(np.load(path)) for path in (RunDirectory(run.path).mask, search.path))
    assert own.keys() == shared.keys() and all((own[name] == shared[name]).all() for name in own)
    reports = [read_object(path) for path in (RunDirectory(run.path).mask_report, search.path.with_suffix(".json"))]
    assert all(report.pop("mask_seconds") > 0 for report in reports)
    assert reports[0] == reports[1]


@pytest.fixture
def ticket(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/a.npz").write_text("mask")
    (tmp_path / "shared/a_weights.npz").write_text("weights")
    (tmp_path / "shared/a.json").write_text(json.dumps({"mask_seconds": 1.5}))
    return tmp_path / "shared/a.npz"


def test_a_ticket_is_given_with_its_weights(tmp_path, ticket):
    config = RunConfig.make(dataset="digits", model="resnet8", mask="lottery", run_dir=str(tmp_path / "run"))
    give_mask(config, tmp_path / "run", ticket)
    run = RunDirectory(tmp_path / "run")
    assert (run.mask.read_text(), run.ticket_weights.read_text()) == ("mask", "weights")
    assert run.read_mask_seconds() == 1.5 and run.config.exists()
    run.mask.write_text("its own")
    give_mask(config, tmp_path / "run", ticket)
    assert run.mask.read_text() == "its own"
    run.claim(config)  # the run can resume from there
    run.release()


def test_a_folder_of_another_run_is_refused(tmp_path, ticket):
    write_run(tmp_path / "run", None, mask="lottery", seed=1)
    config = RunConfig.make(dataset="digits", model="resnet8", mask="lottery", seed=2)
    with pytest.raises(TostError, match="belongs to a run with other options.*--seed"):
        give_mask(config, tmp_path / "run", ticket)
    assert not (tmp_path / "run/mask.npz").exists()
