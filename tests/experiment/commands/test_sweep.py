"""`tost-sweep` through the command line, without running anything long."""

import errno
import os
import shlex
import subprocess
import sys

import pytest

from tests.experiment.run_folders import write_run
from tost_tf.experiment.commands.command import run_command
from tost_tf.experiment.commands.sweep import main
from tost_tf.experiment.flags import parse
from tost_tf.experiment.read_runs import find_runs
from tost_tf.experiment.sweep.job import FAILED, FINISHED, Outcome

GRID = ("--dataset=digits", "--mask=snip|erk", "--sparsity=0.9|0.95", "--recipe=default", "--runs_dir=runs/study")


@pytest.fixture
def sweep(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = run_command("tost-sweep", main, arguments)
        return code, *capsys.readouterr()

    return run


def test_dry_run_prints_commands_that_can_be_given(sweep, tmp_path):
    code, output, errors = sweep(*GRID, "--dry_run", "--skip=mask=erk,sparsity=0.95")
    assert (code, errors) == (0, "")
    runs = [parse(shlex.split(line.removeprefix("tost-train "))) for line in output.splitlines()]
    assert [(run.mask.mask, run.mask.sparsity) for run in runs] == [("snip", 0.9), ("erk", 0.9), ("snip", 0.95)]
    assert runs[0].machine.run_dir == "runs/study/snip_sparsity0.9"
    assert not list(tmp_path.iterdir())  # nothing is written


def test_only_and_skip(sweep):
    cases = ("--case=tweak/a: --label_smoothing=0.1", "--case=tweak/b: --label_smoothing=0.2")
    _, output, _ = sweep(*GRID, *cases, "--dry_run", "--only=tweak=b,sparsity=0.9")
    assert [line.rpartition("/")[2] for line in output.splitlines()] == ["snip_sparsity0.9_b", "erk_sparsity0.9_b"]
    _, output, _ = sweep(*GRID, *cases, "--dry_run", "--skip=mask=erk", "--skip=tweak=a")
    assert [line.rpartition("/")[2] for line in output.splitlines()] == ["snip_sparsity0.9_b", "snip_sparsity0.95_b"]


def test_a_value_with_commas_can_be_chosen(sweep):
    grid = ("--dataset=digits", "--runs_dir=runs/a", "--epochs=90", "--lr_drop_epochs=30,60|45,67", "--seed=0|1")
    _, output, _ = sweep(*grid, "--dry_run", "--only=lr_drop_epochs=45,67,seed=1")
    assert [line.rpartition("/")[2] for line in output.splitlines()] == ["lr_drop_epochs45-67_seed1"]


def test_folder_by_the_name_of_the_flagfile(sweep, tmp_path):
    (tmp_path / "mine.flags").write_text("--dataset=digits\n--seed=0|1\n--run_dir=runs/a_single_run\n")
    assert "--run_dir=runs/mine/seed0\n" in sweep("--flagfile=mine.flags", "--dry_run")[1]


def test_what_is_not_finished_is_named_with_its_error_and_tried_again(sweep, tmp_path, monkeypatch):
    asked = []

    def run_all(jobs, scheduler, workers, threads):
        asked.append(([job.name for job in jobs], scheduler, workers, threads))
        for job in jobs:
            if "snip" in job.name:
                yield Outcome(job.name, FAILED, "the disk is full")
            else:
                config = parse(job.arguments)
                write_run(job.path, 0.3, mask="erk", sparsity=config.mask.sparsity, recipe="default", epochs=4)
                (job.path / "export/saved_model").mkdir(parents=True)
                (job.path / "export/saved_model/saved_model.pb").touch()
                (job.path / "export/manifest.json").write_text('{"saved_model": {}}')
                yield Outcome(job.name, FINISHED)

    monkeypatch.setattr("tost_tf.experiment.commands.sweep.run_all", run_all)
    grid = (*GRID, "--epochs=4", "--model=resnet8", "--jobs=3", "--threads=1", "--scheduler=tcp://there:1")
    code, output, errors = sweep(*grid)
    assert code == 2 and "4 runs in runs/study: 0 finished before, 4 to do" in output
    assert "snip_sparsity0.95: failed: the disk is full" in output + errors
    assert "2 of 4 are not finished ('snip_sparsity0.9', 'snip_sparsity0.95')" in errors
    states = {run.folder.name: (run.state, run.error) for run in find_runs(["runs"]).runs}
    assert states["erk_sparsity0.9"] == ("finished", "")
    assert states["snip_sparsity0.9"] == ("failed", "failed: the disk is full")
    code, output, _ = sweep(*grid)
    assert code == 2 and "2 finished before, 2 to do" in output
    assert asked == [
        (["snip_sparsity0.9", "erk_sparsity0.9", "snip_sparsity0.95", "erk_sparsity0.95"], "tcp://there:1", 3, 1),
        (["snip_sparsity0.9", "snip_sparsity0.95"], "tcp://there:1", 3, 1),
    ]
    assert sweep(*grid, "--only=mask=erk")[:2] == (
        0,
        "2 runs in runs/study: 2 finished before, 0 to do\nall finished: tost-report runs/study\n",
    )


def test_a_full_disk_loses_no_finished_run(sweep, tmp_path, monkeypatch):
    write_run(tmp_path / "runs/study/seed0", 0.3, seed=0, epochs=4)
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    arguments = ("--dataset=digits", "--model=resnet8", "--epochs=4", "--seed=0|1", "--runs_dir=runs/study")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        code, _, errors = sweep(*arguments)
    assert code == 2 and "runs/study cannot be written: No space left on device" in errors

    def run_all(jobs, *_):  # the disk is full while it runs
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", full)
            yield from (Outcome(job.name, FAILED, os.strerror(errno.ENOSPC)) for job in jobs)

    monkeypatch.setattr("tost_tf.experiment.commands.sweep.run_all", run_all)
    code, _, errors = sweep(*arguments)
    assert code == 2 and "'seed1'" in errors
    assert (
        before.items() <= {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}.items()
    )


def test_no_tensorflow_is_imported():
    told = "import sys; from tost_tf.experiment.commands import sweep; sweep.main(sys.argv[1:])"
    told += "; import tost_tf.experiment.sweep.engine; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", told, *GRID, "--dry_run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seed=0|1",), "--runs_dir, the folder of the runs, is needed"),
        ((*GRID, "--jobs=0"), "--jobs is 0, it must be at least 1"),
        ((*GRID, "--jobs=two"), "jobs"),
        ((*GRID, "--only=mask=grasp"), "no cell has mask=grasp; there are erk, snip"),
        ((*GRID, "--only=msk=snip"), "unknown --only 'msk': did you mean 'mask'"),
        ((*GRID, "--skip=snip"), "--skip has 'snip', it must have the form name=value"),
        ((*GRID, "--skip=mask=erk", "--skip=mask=snip"), "no cell of the 4 is left"),
        ((*GRID, "--epochs=3|x"), "epochs"),
        ((*GRID, "--run_dir=runs/mine"), "--run_dir is set by the sweep"),
        ((*GRID, "--before=nothing.flags"), "there is no flagfile 'nothing.flags'"),
    ],
)
def test_bad_input(sweep, arguments, message, tmp_path):
    code, output, errors = sweep(*arguments)
    assert code == 2 and message in errors and "Traceback" not in errors and not output
    assert not (tmp_path / "runs").exists()


def test_help_names_the_options_of_runs_too(sweep):
    output = sweep("--help")[1]
    assert all(flag in output for flag in ("--case", "--scheduler", "--sparsity", "--lottery_epochs"))
