"""SIGKILL to a worker and to the scheduler in the middle of a sweep: `benchmarks/sweep_kill.py` does it."""

import csv
import subprocess
import sys

import pytest


@pytest.mark.exhaustive
@pytest.mark.parametrize("where", [(), ("--apart",)], ids=["here", "apart"])
def test_a_sweep_that_was_killed_ends_as_an_undisturbed_one(tmp_path, where):
    out = tmp_path / "kill.csv"
    command = [sys.executable, "benchmarks/sweep_kill.py", f"--folder={tmp_path}", f"--out={out}", *where]
    subprocess.run(command, check=True, timeout=3000)
    worker, scheduler, again, end = csv.DictReader(out.read_text().splitlines())
    assert worker["epochs_done"] in ("1", "2") and scheduler["epochs_done"] in ("1", "2")  # in the middle of a run
    assert worker["left_behind"] == scheduler["left_behind"] == "0" and scheduler["exit_code"] != "0"
    assert again["fault"].endswith(": 0 finished runs started again") and again["exit_code"] == "0"
    assert end["fault"] == "in the end: 8 of 8 runs bit-identical"
