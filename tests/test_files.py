import zipfile

import pytest

from tost_tf.errors import TostError
from tost_tf.files import read_arrays, replaced_file, replaced_folder, require_writable, sweep_folder, write_text


def test_a_folder_that_may_be_written_is_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "deep/er", "deep/er", "."):
        require_writable(folder, "--out")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TostError, match=r"--out=x cannot be written: '.*/file' is not a folder"):
        require_writable(tmp_path / "file/deep/er", "--out=x")
    # Permissions do not bind the superuser, whom tests may be run by; in /proc nobody can make anything.
    for folder in ("/proc", "/proc/deep/er"):
        with pytest.raises(TostError, match=r"--out=x cannot be written: the folder '/proc' is not writable \(.+\)"):
            require_writable(folder, "--out=x")


def test_file_is_replaced_only_when_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replaced_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_folder_is_replaced_only_when_whole(tmp_path):
    path = tmp_path / "folder"
    with replaced_folder(path) as temporary:
        (temporary / "one").write_text("1")
    with pytest.raises(RuntimeError), replaced_folder(path) as temporary:
        (temporary / "two").write_text("2")
        raise RuntimeError
    assert [entry.name for entry in path.iterdir()] == ["one"]
    with replaced_folder(path) as temporary:
        (temporary / "three").write_text("3")
    assert [entry.name for entry in path.iterdir()] == ["three"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_folder_whose_replacement_was_killed_half_way_is_replaced(tmp_path):
    for part in ("new", "old"):
        (tmp_path / ".tost-tmp-model-ab_1" / part).mkdir(parents=True)
        (tmp_path / ".tost-tmp-model-ab_1" / part / "name").write_text(part)
    (tmp_path / ".tost-tmp-other-cd2/new").mkdir(parents=True)  # killed while it was written
    (tmp_path / ".tost-tmp-kept-ef3/new").mkdir(parents=True)
    (tmp_path / ".tost-tmp-kept-ef3/old").mkdir()
    (tmp_path / "kept").mkdir()  # killed after it was replaced
    (tmp_path / ".tost-tmp-table-gh4.csv").write_text("half")
    (tmp_path / ".pre-commit.yaml").write_text("of somebody else")
    sweep_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pre-commit.yaml", "kept", "model"]
    assert (tmp_path / "model/name").read_text() == "new"


def test_an_archive_of_other_things_than_arrays_is_not_read(tmp_path):
    """NumPy gives bytes for them: a .keras file is such an archive."""
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match=r"other things than arrays, such as config\.json"):
        read_arrays(tmp_path / "model.keras")
