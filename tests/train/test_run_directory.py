import os
import subprocess
import sys

import pytest

from tost_tf.config.run_config import RunConfig
from tost_tf.errors import TostError
from tost_tf.train.run_directory import METRICS, RunDirectory


def test_claimed_again_by_the_same_run(tmp_path):
    for _ in range(2):
        directory = RunDirectory(tmp_path / "run")
        directory.claim(RunConfig.make(seed=3))
        directory.release()
    assert "--seed=3\n" in (tmp_path / "run/config.flags").read_text()


def test_another_runs_folder_is_refused_with_the_difference(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.claim(RunConfig.make(seed=3))
    directory.release()
    before = (tmp_path / "config.flags").read_bytes()
    with pytest.raises(TostError, match=r"other options \(--sparsity was 0.95, now 0.9; --seed was 3, now 4\)"):
        RunDirectory(tmp_path).claim(RunConfig.make(seed=4, sparsity=0.9))
    assert (tmp_path / "config.flags").read_bytes() == before


def test_noresume_refuses_a_run_that_is_there(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.claim(RunConfig.make())
    directory.release()
    with pytest.raises(TostError, match="holds a run already and --noresume was given"):
        RunDirectory(tmp_path).claim(RunConfig.make(resume=False))


def test_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(TostError, match="holds files but no config.flags"):
        RunDirectory(tmp_path).claim(RunConfig.make())


def test_unreadable_config_is_told(tmp_path):
    (tmp_path / "config.flags").write_text("--nonsense=1\n")
    with pytest.raises(TostError, match="cannot be understood: Unknown command line flag 'nonsense'"):
        RunDirectory(tmp_path).claim(RunConfig.make())


def test_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TostError, match="cannot be written: Not a directory"):
        RunDirectory(tmp_path / "file/run").claim(RunConfig.make())
    if os.geteuid():  # root may write anywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(TostError, match="cannot be written: Permission denied"):
            RunDirectory(tmp_path / "locked/run").claim(RunConfig.make())


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.claim(RunConfig.make())
    code = (
        "import sys\nfrom tost_tf.config.run_config import RunConfig\n"
        "from tost_tf.train.run_directory import RunDirectory\nRunDirectory(sys.argv[1]).claim(RunConfig.make())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert "another process is training" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
    directory.release()
    assert subprocess.run(command, check=False).returncode == 0


def test_metrics_come_back_as_numbers(tmp_path):
    directory = RunDirectory(tmp_path)
    assert directory.read_metrics() == []
    rows = [dict.fromkeys(METRICS, 0.5) | {"epoch": 1, "beta": float("inf")}]
    directory.write_metrics(rows)
    assert directory.read_metrics() == rows
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == ",".join(METRICS)
