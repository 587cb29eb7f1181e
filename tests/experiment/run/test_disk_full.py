import errno

import pytest

from tests.experiment.run.test_checkpoints import cut, save
from tost_tf.compat import tf
from tost_tf.errors import TostError
from tost_tf.experiment.run.checkpoints import last_checkpoint
from tost_tf.experiment.run.disk_full import explain_full_disk
from tost_tf.experiment.run.folder import RunDirectory


def message_of(directory, error):
    with pytest.raises(TostError) as raised, explain_full_disk(directory):
        raise error
    return str(raised.value)


def test_full_disk_is_reported_with_the_last_good_checkpoint(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    error = OSError(errno.ENOSPC, "No space left on device")
    assert "is full, or a quota is exceeded: there was no checkpoint yet; free some space" in message_of(
        directory, error
    )
    save(directory.checkpoints, [0.5, 0.6, 0.7])
    cut(directory.checkpoints, "epoch-3")
    full = tf.errors.ResourceExhaustedError(None, None, "epoch-4_temp/part; No space left on device [Op:SaveV2]")
    for error in (full, OSError(errno.EDQUOT, "Disk quota exceeded")):
        assert "the last good checkpoint is" in message_of(directory, error) and "epoch-2'" in message_of(
            directory, error
        )


def test_other_errors_pass(tmp_path):
    directory = RunDirectory(tmp_path)
    for error in (FileNotFoundError(errno.ENOENT, "x"), tf.errors.ResourceExhaustedError(None, None, "OOM on GPU")):
        with pytest.raises(type(error)), explain_full_disk(directory):
            raise error


def test_last_checkpoint_counts_steps_after_epochs(tmp_path):
    save(tmp_path, [0.5] * 10)
    assert last_checkpoint(tmp_path).name == "epoch-10"
    for name in ("step-9-7", "step-10-2"):
        for suffix in (".index", ".data-00000-of-00001"):
            (tmp_path / f"{name}{suffix}").write_bytes((tmp_path / f"epoch-10{suffix}").read_bytes())
    assert last_checkpoint(tmp_path).name == "step-10-2"
