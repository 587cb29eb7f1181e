import json
import os
import subprocess
import sys

import pytest

from tost_tf.errors import TostError
from tost_tf.experiment.flags import LAST_LINE
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import METRICS, RunDirectory


def begin(path, **options) -> RunDirectory:
    """A run that has found its mask and stopped."""
    directory = RunDirectory(path)
    directory.claim(RunConfig.make(**options))
    directory.mask.write_text("a mask")
    directory.release()
    return directory


def test_launch_that_failed_early_allows_other_options(tmp_path):
    for seed in (3, 4):
        directory = RunDirectory(tmp_path)
        directory.claim(RunConfig.make(seed=seed))
        directory.release()
    assert "--seed=4\n" in (tmp_path / "config.flags").read_text()


def test_refused_claim_gives_the_folder_back(tmp_path):
    begin(tmp_path, seed=3)
    refused = RunDirectory(tmp_path)
    with pytest.raises(TostError):
        refused.claim(RunConfig.make(seed=4))
    RunDirectory(tmp_path).claim(RunConfig.make(seed=3))


@pytest.mark.parametrize("name", ["figures", "export", "checkpoints"])
def test_a_file_in_the_place_of_a_later_folder_is_reported_immediately(tmp_path, name):
    begin(tmp_path)
    (tmp_path / name).write_text("mine")
    with pytest.raises(TostError, match=f"the results of the run cannot be written: '.*/{name}' is not a folder"):
        RunDirectory(tmp_path).claim(RunConfig.make())


def test_what_a_killed_process_was_writing_is_swept_away(tmp_path):
    directory = begin(tmp_path)
    (tmp_path / ".tost-tmp-mask-abc.npz").write_text("half")
    (tmp_path / "export/.tost-tmp-saved_model-abc/new").mkdir(parents=True)
    directory.claim(RunConfig.make())
    assert {path.name for path in tmp_path.rglob("*")} == {".lock", "config.flags", "mask.npz", "export"}


def test_damaged_results_count_as_none(tmp_path, caplog):
    directory = begin(tmp_path)
    assert directory.read_result() is None and not caplog.records
    (tmp_path / "export/saved_model").mkdir(parents=True)
    (tmp_path / "export/saved_model/saved_model.pb").write_text("")
    (tmp_path / "export/manifest.json").write_text('{"saved_model": {"bytes": 3}}')
    for content in ("", "{", "{}", "[]"):
        directory.result.write_text(content)
        assert directory.read_result() is None
    directory.result.write_text(json.dumps({"versions": {}}))
    assert directory.read_result() == {"versions": {}}
    (tmp_path / "export/manifest.json").write_text('{"saved_model": {"failed": "other logits"}}')
    assert directory.read_result() is None
    (tmp_path / "export/manifest.json").write_text('{"saved_model": {}}')
    assert directory.read_result() == {"versions": {}}
    (tmp_path / "export/saved_model/saved_model.pb").unlink()
    assert directory.read_result() is None and "are made again" in caplog.text
    directory.mask_report.write_text('{"mask_seconds": 1')
    assert directory.read_mask_seconds() == 0
    directory.metrics.write_text("epoch,loss\n1,0.")
    assert directory.read_metrics() == []


def test_claimed_again_by_the_same_run(tmp_path):
    for _ in range(2):
        begin(tmp_path / "run", seed=3)
    assert "--seed=3\n" in (tmp_path / "run/config.flags").read_text()


def test_another_runs_folder_is_refused_with_the_difference(tmp_path):
    begin(tmp_path, seed=3)
    before = (tmp_path / "config.flags").read_bytes()
    with pytest.raises(TostError, match=r"other options \(--sparsity was 0.95, now 0.9; --seed was 3, now 4\)"):
        RunDirectory(tmp_path).claim(RunConfig.make(seed=4, sparsity=0.9))
    assert (tmp_path / "config.flags").read_bytes() == before


def test_noresume_refuses_a_run_that_is_there(tmp_path):
    begin(tmp_path)
    with pytest.raises(TostError, match="already holds a run, and --noresume was given"):
        RunDirectory(tmp_path).claim(RunConfig.make(resume=False))


def test_folder_with_other_files_is_refused(tmp_path):
    names = {"thesis.tex", ".pre-commit-config.yaml", "analysis/.my-notes"}
    (tmp_path / "analysis").mkdir()
    for name in names:
        (tmp_path / name).write_text("...")
    with pytest.raises(TostError, match="holds files but no config.flags"):
        RunDirectory(tmp_path).claim(RunConfig.make())
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == names | {"analysis"}


def test_unreadable_config_is_reported(tmp_path):
    begin(tmp_path)
    (tmp_path / "config.flags").write_text(f"--nonsense=1\n{LAST_LINE}\n")
    with pytest.raises(TostError, match="cannot be understood: Unknown command line flag 'nonsense'"):
        RunDirectory(tmp_path).claim(RunConfig.make())


def test_place_that_cannot_be_written_is_reported(tmp_path):
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
        "import sys\nfrom tost_tf.experiment.options import RunConfig\n"
        "from tost_tf.experiment.run.folder import RunDirectory\nRunDirectory(sys.argv[1]).claim(RunConfig.make())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert "another process is training" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
    directory.release()
    assert subprocess.run(command, check=False).returncode == 0


def test_metrics_are_read_as_numbers(tmp_path):
    directory = RunDirectory(tmp_path)
    assert directory.read_metrics() == []
    rows = [dict.fromkeys(METRICS, 0.5) | {"epoch": 1, "beta": float("inf"), "plain_loss": None}]
    directory.write_metrics(rows)
    assert directory.read_metrics() == rows
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == ",".join(METRICS)


def test_other_workers_need_the_same_options_except_uncompared_ones(tmp_path):
    directory = begin(tmp_path, mixed_precision="bfloat16", distribution="multi_worker", worker_timeout=5.0)
    directory.require_options(
        RunConfig.make(mixed_precision="bfloat16", distribution="multi_worker", worker_timeout=7.0)
    )
    with pytest.raises(TostError, match=r"\(--mixed_precision was 'bfloat16', now 'none'\)"):
        directory.require_options(RunConfig.make(distribution="multi_worker"))
    directory.require_options(RunConfig.make(mixed_precision="bfloat16", virtual_devices=2))
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.flags", "mask.npz"}


def test_what_tensorflow_left_of_a_killed_checkpoint_is_swept_away(tmp_path):
    directory = begin(tmp_path)
    (directory.checkpoints / "epoch-3_temp").mkdir(parents=True)
    for name in ("epoch-3_temp/part-00000", "checkpoint.tmp1a2b", "epoch-2.index", "best-2.index"):
        (directory.checkpoints / name).write_text("")
    directory.claim(RunConfig.make())
    assert {path.name for path in directory.checkpoints.iterdir()} == {"epoch-2.index", "best-2.index"}


def test_nothing_is_left_of_a_run_that_was_refused(tmp_path):
    config = RunConfig.make(dataset="digits", run_dir=str(tmp_path / "runs/mine"))
    directory = RunDirectory(config.machine.run_dir)
    directory.claim(config)
    assert sorted(file.name for file in directory.path.iterdir()) == [".lock", "config.flags"]
    directory.release()
    assert not list(tmp_path.iterdir())
    # The folder of a run that has begun stays, and so does a folder that was there before.
    directory.claim(config)
    directory.write_metrics([])
    directory.release()
    assert (directory.path / "metrics.csv").exists()
    (tmp_path / "empty").mkdir()
    there = RunDirectory(tmp_path / "empty")
    there.claim(config)
    there.release()
    assert (tmp_path / "empty").is_dir()
