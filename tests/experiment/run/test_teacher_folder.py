import pytest

from tost_tf.errors import TostError
from tost_tf.experiment.run.teacher_folder import teacher_folder


def test_a_saved_model_or_a_finished_run_is_a_teacher(tmp_path):
    (tmp_path / "run/export/saved_model").mkdir(parents=True)
    (tmp_path / "run/export/saved_model/saved_model.pb").touch()
    expected = tmp_path / "run/export/saved_model"
    assert teacher_folder(tmp_path / "run") == teacher_folder(expected) == expected


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(TostError, match="nowhere' is neither a SavedModel nor the folder of a finished run"):
        teacher_folder(tmp_path / "nowhere")
    (tmp_path / "config.flags").write_text("--epochs=3")
    with pytest.raises(TostError, match="is a run that is not finished: launch it again first"):
        teacher_folder(tmp_path)
