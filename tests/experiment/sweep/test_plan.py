"""From cells to jobs: what is checked, and what is shared."""

import json
import re

import pytest

from tests.experiment.run_folders import write_run
from tost_tf.errors import TostError
from tost_tf.experiment.commands.mask import MaskOptions
from tost_tf.experiment.flags import parse, parse_with
from tost_tf.experiment.read_runs import find_runs
from tost_tf.experiment.sweep.grid import read_grid
from tost_tf.experiment.sweep.plan import plan
from tost_tf.experiment.sweep.record import write_record

BASE = ("--dataset=digits", "--model=resnet8", "--recipe=default")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def planned(*arguments: str, before: tuple[str, ...] = ()):
    return plan(read_grid([*BASE, *arguments], {})[0], before, "runs/study")


def test_runs_have_folders_and_commands():
    jobs = planned("--mask=erk|random", "--seed=0|1").jobs
    assert [job.name for job in jobs] == ["erk_seed0", "random_seed0", "erk_seed1", "random_seed1"]
    assert jobs[0].shell_command == "tost-train " + " ".join(
        [*BASE, "--mask=erk", "--seed=0", "--run_dir=runs/study/erk_seed0"]
    )
    assert jobs[0].target == "runs/study/erk_seed0" and jobs[0].log == "runs/study/erk_seed0.log"
    assert not any(job.needs for job in jobs)  # masks that are found at once are not shared


def test_a_folder_that_a_flagfile_names_is_not_that_of_the_cells():
    (job,) = planned("--run_dir=runs/quickstart").jobs
    assert job.arguments[-1] == "--run_dir=runs/study/run" and "--run_dir=runs/quickstart" not in job.arguments


def test_masks_are_found_once_for_all_runs_that_have_them_in_common():
    jobs = planned(
        *("--mask_scope=layer", "--label_smoothing=0|0.1", "--epochs=4|6", "--seed=0"),
        *("--case=scope/l: --mask=snip", "--case=scope/none: --mask=erk --mask_scope=global"),
    ).jobs
    masks = [job for job in jobs if job.command == "mask"]
    runs = [job for job in jobs if job.command == "train"]
    assert len(runs) == 8 and len(masks) == 1  # ERK's takes no time
    config, options = parse_with(masks[0].arguments, MaskOptions)
    assert (config.mask.mask, config.mask.mask_scope, options.out) == ("snip", "layer", masks[0].target)
    assert re.fullmatch(r"runs/study/shared/snip95_resnet8_digits_seed0_\w{8}.npz", masks[0].target)
    assert {job.needs for job in runs if "--mask=snip" in job.arguments} == {(masks[0].name,)}
    assert {job.mask for job in runs if "--mask=snip" in job.arguments} == {masks[0].target}
    assert {job.needs for job in runs if "--mask=erk" in job.arguments} == {()}
    assert jobs[0].command == "mask"


@pytest.mark.parametrize(
    ("mask", "axis", "count"),
    [
        ("snip", "--learning_rate=0.1|0.2", 1),  # the search does not train
        ("snip", "--mask_examples_per_class=5|6", 0),
        ("snip", "--dense_layers=|--case=d/x: --dense_layers=logits", 0),
        ("snip", "--seed=0|1", 0),
        ("lottery", "--learning_rate=0.1|0.2", 0),
        ("lottery", "--epochs=100|200", 1),  # the rounds have their own
        ("lottery", "--lottery_epochs=10|20", 0),
        ("synflow", "--case=a/x: --dynamic=granet --initial_sparsity=0.3|--case=a/y: --label_smoothing=0.1", 0),
        ("synflow", "--train_examples=100|200", 0),
    ],
)
def test_what_a_mask_depends_on(mask, axis, count):
    arguments = axis.split("|--")
    arguments = [arguments[0], *(f"--{argument}" for argument in arguments[1:])]
    if arguments[0] == "--dense_layers=":
        arguments[0] = "--case=d/none: --dense_layers=''"
    jobs = planned(f"--mask={mask}", *arguments).jobs
    assert sum(job.command == "mask" for job in jobs) == count
    assert sum(job.command == "train" for job in jobs) == 2


def test_a_teacher_comes_before_its_students(tmp_path):
    (tmp_path / "teacher.flags").write_text("--dataset=digits\n--mask=none\n--recipe=default\n--run_dir=runs/teacher\n")
    jobs = planned("--seed=0|1", "--teacher=runs/teacher", before=("teacher.flags",)).jobs
    assert [(job.name, job.needs) for job in jobs] == [
        ("teacher", ()),
        ("seed0", ("teacher",)),
        ("seed1", ("teacher",)),
    ]
    jobs = planned("--case=a/student: --teacher=runs/study/teacher", "--case=a/teacher: --mask=none").jobs
    assert [job.name for job in jobs] == ["teacher", "student"]  # another cell


def test_teachers_of_each_other():
    with pytest.raises(TostError, match="'a', 'b' are teachers of each other"):
        planned("--case=c/a: --teacher=runs/study/b", "--case=c/b: --teacher=runs/study/a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sparsty=0.5|0.6",), "sparsty"),
        (("--sparsity=0.5|1.2",), "the cell 'sparsity1.2': --sparsity is 1.2, it must be"),
        (("--mask=snip|snap",), "the cell 'snap': unknown --mask 'snap': did you mean 'snip'"),
        (("--ghost_schedule=linear|cosine",), "the cell 'cosine': --ghost_schedule=cosine has no effect"),
        (("--mask=erk|erk",), "two cells have the folder 'runs/study/erk': mask=erk, and mask=erk"),
        (("--sparsity=0.9|0.90",), "'sparsity0.9' and 'sparsity0.90' would be the same run"),
        (("--mask=none", "--sparsity=0.95|0"), "'sparsity0.95' and 'sparsity0' would be the same run"),
        (("--gradient_flow_every=0|5",), "would be the same run"),  # it changes nothing of the result
    ],
)
def test_what_is_refused_before_the_first_run(arguments, message):
    with pytest.raises(TostError, match=message) as error:
        planned(*arguments)
    assert len(str(error.value)) < 500


def test_a_folder_of_a_run_with_other_options(tmp_path):
    write_run(tmp_path / "runs/study/seed1", 0.3, seed=1, recipe="default", epochs=7)
    with pytest.raises(TostError, match=r"'runs/study/seed1' belongs to a run with other options.*--epochs"):
        planned("--seed=0|1")


def test_what_is_recorded_for_reports(tmp_path):
    made = planned("--case=tweak/a: --epochs=4", "--case=tweak/b: --epochs=5")
    write_record(tmp_path / "runs/study", made, {"b": "failed: the disk is full"})
    a, b = find_runs([tmp_path / "runs"]).runs
    assert (a.keys["tweak"], a.state, a.config.training.epochs) == ("a", "pending", 4)
    assert (b.keys["tweak"], b.state, b.error) == ("b", "failed", "failed: the disk is full")
    # Another sweep in the same folder: what was run stays known, what never began does not.
    write_run(tmp_path / "runs/study/a", 0.3, recipe="default", epochs=4)
    write_record(tmp_path / "runs/study", planned("--seed=7|8"), {})
    cells = json.loads((tmp_path / "runs/study/sweep.json").read_text())["cells"]
    assert [cell["run"] for cell in cells] == ["a", "seed7", "seed8"]
    assert parse(cells[1]["arguments"]).training.seed == 7
    write_record(tmp_path / "runs/study", planned("--seed=7"), {}, {"seed7", "seed8"})  # as by --only
    cells = json.loads((tmp_path / "runs/study/sweep.json").read_text())["cells"]
    assert [cell["run"] for cell in cells if cell["run"] != "run"][-2:] == ["seed7", "seed8"]
    (tmp_path / "runs/study/sweep.json").write_text('{"cells": [3')
    write_record(tmp_path / "runs/study", made, {})
    assert len(json.loads((tmp_path / "runs/study/sweep.json").read_text())["cells"]) == 2
