import io
import sys

import pytest

from tost_tf.errors import TostError
from tost_tf.experiment.commands import analyze, export, mask
from tost_tf.experiment.commands.command import run_command


def test_a_terminal_without_the_characters_ends_no_command(monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    assert run_command("tost", lambda arguments: print("3×3 é"), []) == 0
    output.flush()
    assert output.buffer.getvalue() == b"3\\xd73 \\xe9\n"


def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path, capsys):
    assert run_command("tost", lambda arguments: (tmp_path / "none.npz").read_bytes(), []) == 2
    assert capsys.readouterr().err == f"tost: error: '{tmp_path}/none.npz': No such file or directory\n"
    with pytest.raises(ConnectionError):  # of no file
        run_command("tost", lambda arguments: (_ for _ in ()).throw(ConnectionError(104, "reset by peer")), [])


@pytest.fixture
def file(tmp_path):
    """A file where a folder is to be."""
    (tmp_path / "file").write_text("mine")
    return tmp_path / "file"


def test_a_mask_that_could_not_be_written_is_not_searched_for(file, tmp_path):
    with pytest.raises(TostError, match=r"--out='.*/file/deep/mask.npz' cannot be written: '.*/file' is not a folder"):
        mask.main(["--dataset=digits", "--mask=erk", f"--out={file}/deep/mask.npz"])
    with pytest.raises(TostError, match=r"--out='/proc/x/m.npz' cannot be written: the folder '/proc' is not writable"):
        mask.main(["--dataset=digits", "--mask=erk", "--out=/proc/x/m.npz"])
    (tmp_path / "mask.npz").mkdir()
    with pytest.raises(TostError, match=r"--out='.*/mask.npz' is a folder, it must name the .npz file to write"):
        mask.main(["--dataset=digits", "--mask=erk", f"--out={tmp_path}/mask.npz"])


@pytest.fixture
def run(tmp_path):
    """What looks like a run's folder from outside."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.flags").write_text("")
    return tmp_path / "run"


def test_an_export_that_could_not_be_written_is_not_started(file, run):
    with pytest.raises(TostError, match=r"--out='.*/file/x' cannot be written: '.*/file' is not a folder"):
        export.main([f"--run_dir={run}", f"--out={file}/x"])
    (run / "export").write_text("")
    with pytest.raises(TostError, match=r"the export cannot be written: '.*/run/export' is not a folder"):
        export.main([f"--run_dir={run}"])


def test_an_analysis_that_could_not_be_written_is_not_started(file, run):
    with pytest.raises(TostError, match=r"--out='.*/file' cannot be written: '.*/file' is not a folder"):
        analyze.main(["--compare", str(run), str(run), f"--out={file}"])
    (run / "analysis").write_text("")
    with pytest.raises(TostError, match=r"analyses of '.*/run' cannot be written: '.*/analysis' is not a folder"):
        analyze.main([f"--run_dir={run}"])
