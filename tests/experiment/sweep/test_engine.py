"""Jobs on a Dask cluster of this machine; what they start does not need TensorFlow."""

import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tost_tf.errors import TostError
from tost_tf.experiment.sweep.engine import run_all
from tost_tf.experiment.sweep.job import FAILED, FINISHED, NOT_STARTED, Job, run_job


def job(folder, name: str, *arguments: str, needs: tuple[str, ...] = ()) -> Job:
    return Job(name, "mask", arguments, str(folder), f"logs/{name}.log", f"{name}.npz", needs)


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    """A job that notes its process and waits for a file: Python starts this in every process with the folder set."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(
        "import os, sys, time, pathlib\n"
        "here = pathlib.Path(os.environ.get('TOST_TEST_FOLDER', '/nothing'))\n"
        "if 'tost_tf.experiment.sweep.child' in sys.orig_argv and here.is_dir():\n"
        "    from tost_tf.experiment.sweep.child import follow\n"
        "    follow(int(sys.orig_argv[sys.orig_argv.index('tost_tf.experiment.sweep.child') + 1]))\n"
        "    with open(here / 'starts', 'a') as file: file.write(f'{os.getppid()} {os.getpid()}\\n')\n"
        "    while not (here / 'go').exists(): time.sleep(0.05)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("TOST_TEST_FOLDER", str(tmp_path))
    return job(tmp_path, "waiting", "--help")


def starts(folder, count: int) -> list[tuple[int, int]]:
    """Worker and process of each start, once there are so many."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        lines = (folder / "starts").read_text().splitlines() if (folder / "starts").exists() else []
        if len(lines) >= count:
            return [tuple(map(int, line.split())) for line in lines]
        time.sleep(0.05)
    raise AssertionError(f"not started {count} times")


def test_jobs_end_in_one_of_three_ways(tmp_path):
    jobs = [
        job(tmp_path, "good", "--help"),
        job(tmp_path, "bad", "--sparsity=1.5", "--out=bad.npz"),
        job(tmp_path, "after good", "--help", needs=("good",)),
        job(tmp_path, "after bad", "--help", needs=("good", "bad")),
        job(tmp_path, "after that", "--help", needs=("after bad",)),
    ]
    outcomes = {outcome.name: outcome for outcome in run_all(jobs, "", 2, 1)}
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        "good": FINISHED,
        "bad": FAILED,
        "after good": FINISHED,
        "after bad": NOT_STARTED,
        "after that": NOT_STARTED,
    }
    assert outcomes["bad"].error == "--sparsity is 1.5, it must be at least 0 and below 1"
    assert outcomes["after bad"].error == "it needs 'bad', which failed"
    assert "usage: tost-mask" in (tmp_path / "logs/good.log").read_text()
    assert not (tmp_path / "logs/after bad.log").exists()


def test_a_worker_that_is_killed_has_its_job_done_again(tmp_path, waiting):
    outcomes = run_all([waiting], "", 1, 1)
    found = []
    thread = threading.Thread(target=lambda: found.extend(outcomes))
    thread.start()
    ((worker, process),) = starts(tmp_path, 1)
    os.kill(worker, signal.SIGKILL)
    *_, (other, _) = starts(tmp_path, 2)
    assert other != worker
    assert not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    (tmp_path / "go").touch()
    thread.join(120)
    assert [outcome.state for outcome in found] == [FINISHED]


def test_existing_results_are_not_computed_again(tmp_path):
    (tmp_path / "good.npz").touch()
    assert run_job(job(tmp_path, "good", "--help"), 1).state == FINISHED
    assert (tmp_path / "logs/good.log").read_text() == ""


def test_a_job_that_another_process_does_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    with open(tmp_path / "logs/good.log", "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        timer = threading.Timer(0.5, lambda: ((tmp_path / "good.npz").touch(), other.close()))
        timer.start()
        assert run_job(job(tmp_path, "good", "--help"), 1).state == FINISHED  # what the other has made
    assert (tmp_path / "logs/good.log").read_text() == ""
    monkeypatch.setattr("tost_tf.experiment.sweep.job.LOCK_SECONDS", 0.1)
    with open(tmp_path / "logs/bad.log", "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        outcome = run_job(job(tmp_path, "bad", "--help"), 1)
    assert outcome.state == FAILED and "another process has been doing this for 0.1 s" in outcome.error


def test_a_process_that_says_nothing(tmp_path):
    broken = dataclasses.replace(job(tmp_path, "broken"), command="nothing")
    outcome = run_job(broken, 1)
    assert outcome.state == FAILED and outcome.error.startswith(
        "exit code 2: tost_tf: error: unknown command 'nothing'"
    )


def test_a_job_ends_with_its_parent():
    told = "import subprocess, sys, os; words = [sys.executable, '-c', sys.argv[1], str(os.getpid())]"
    told += "; print(subprocess.Popen(words).pid, flush=True)"
    waits = "import sys, time; from tost_tf.experiment.sweep.child import follow"
    waits += "; follow(int(sys.argv[1])); time.sleep(600)"
    done = subprocess.run([sys.executable, "-c", told, waits], stdout=subprocess.PIPE, text=True, check=True)
    psutil.wait_procs([psutil.Process(int(done.stdout))] if psutil.pid_exists(int(done.stdout)) else [], timeout=60)
    assert not psutil.pid_exists(int(done.stdout))


def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr("tost_tf.experiment.sweep.engine.CONNECT_SECONDS", 0.5)
    with pytest.raises(TostError, match="--scheduler=tcp://127.0.0.1:1 cannot be reached"):
        list(run_all([job(tmp_path, "good", "--help")], "tcp://127.0.0.1:1", 1, 0))
