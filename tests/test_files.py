import pytest

from tost_tf.files import replaced_file, replaced_folder, write_text


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
