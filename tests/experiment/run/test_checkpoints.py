import logging

import numpy as np
import pytest

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.epoch_progress import EpochProgress
from tost_tf.training.optimizer import CoupledSGD


def make(folder) -> tuple[keras.Model, Checkpoints]:
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, input_shape=(1,))])
    optimizer = CoupledSGD()
    optimizer.build(model.trainable_weights)
    return model, Checkpoints(folder, model, optimizer)


def save(folder, accuracies, may_be_best=lambda epoch: True):
    """Saves an epoch for each accuracy; the weight of epoch N is N."""
    model, checkpoints = make(folder)
    for epoch, accuracy in enumerate(accuracies, 1):
        model.set_weights([np.full((1, 1), float(epoch))])
        checkpoints.save(epoch, accuracy, may_be_best(epoch))


def cut(folder, name):
    file = next(folder.glob(f"{name}.data*"))
    file.write_bytes(file.read_bytes()[:-5])


def test_latest_and_best_are_restored(tmp_path):
    save(tmp_path, [0.5, 0.9, 0.9, 0.7])
    model, checkpoints = make(tmp_path)
    assert checkpoints.restore_latest() == 4
    assert model.get_weights()[0] == 4
    assert checkpoints.restore_best() == 2  # the first that reached 0.9
    assert model.get_weights()[0] == 2


def test_epochs_with_ghosts_are_never_best(tmp_path):
    save(tmp_path, [0.9, 0.95, 0.3, 0.4], may_be_best=lambda epoch: epoch > 2)
    _, checkpoints = make(tmp_path)
    checkpoints.restore_latest()
    assert checkpoints.restore_best() == 4


def test_nothing_there_is_the_start(tmp_path):
    model, checkpoints = make(tmp_path)
    before = model.get_weights()[0]
    assert checkpoints.restore_latest() == 0
    assert model.get_weights()[0] == before


@pytest.mark.parametrize("accuracies", [[0.5, 0.6, 0.7], [0.7, 0.6, 0.5]])
def test_cut_off_checkpoint_is_passed_over_for_the_one_before(tmp_path, caplog, accuracies):
    save(tmp_path, accuracies)
    cut(tmp_path, "epoch-3")
    model, checkpoints = make(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.restore_latest() == 2
    assert "epoch-3 is skipped, it cannot be read" in caplog.text
    assert model.get_weights()[0] == 2
    assert checkpoints.restore_best() == (2 if accuracies[0] == 0.5 else 1)
    checkpoints.save(3, 0.95, True)  # and it is written again
    assert make(tmp_path)[1].restore_latest() == 3


def test_checkpoint_with_incomplete_best_weights_is_skipped(tmp_path):
    save(tmp_path, [0.5, 0.6, 0.7])
    cut(tmp_path, "best-3")
    assert make(tmp_path)[1].restore_latest() == 2


def test_no_readable_checkpoint_is_an_error(tmp_path):
    save(tmp_path, [0.5, 0.6])
    cut(tmp_path, "epoch-1")
    cut(tmp_path, "epoch-2")
    with pytest.raises(TostError, match="no checkpoint in .* can be read"):
        make(tmp_path)[1].restore_latest()


def test_old_files_are_removed(tmp_path):
    save(tmp_path, [0.1, 0.2, 0.3, 0.9, 0.5, 0.5, 0.5])
    names = {file.name.split(".")[0] for file in tmp_path.iterdir()}
    assert names == {"best-4", "epoch-6", "epoch-7", "checkpoint"}


@pytest.mark.parametrize("content", ["", "model_checkpoint_path: ", b"\xff\xfe"])
def test_damaged_list_of_checkpoints_is_started_again(tmp_path, content):
    save(tmp_path, [0.5, 0.6, 0.7])
    (tmp_path / "checkpoint").write_bytes(content if isinstance(content, bytes) else content.encode())
    _, checkpoints = make(tmp_path)
    assert checkpoints.restore_latest() == 3
    cut(tmp_path, "epoch-2")
    checkpoints.save(4, 0.9, True)
    assert make(tmp_path)[1].restore_latest() == 4


def save_steps(folder, epoch, step, weight):
    model, checkpoints = make(folder)
    checkpoints.restore_latest()
    model.set_weights([np.full((1, 1), weight)])
    checkpoints.save_within(epoch, EpochProgress(step, (0.1, 3.0), 1.5))


def test_steps_within_an_epoch_are_restored_to_the_last_bit(tmp_path):
    save(tmp_path, [0.5, 0.6])
    third = float(np.float32(1) / 3)
    model, checkpoints = make(tmp_path)
    checkpoints.restore_latest()
    checkpoints.save_within(2, EpochProgress(7, (third, 1e-45), 1.5))
    save_steps(tmp_path, 2, 11, 2.75)
    assert sorted(file.name for file in tmp_path.glob("step-*.index")) == ["step-2-11.index"]
    model, checkpoints = make(tmp_path)
    assert checkpoints.restore_latest() == 2 and model.get_weights()[0] == 2
    assert checkpoints.restore_within(1) is None and model.get_weights()[0] == 2  # it belongs to another epoch
    assert checkpoints.restore_within(2) == EpochProgress(11, (0.1, 3.0), 1.5)
    assert model.get_weights()[0] == 2.75
    checkpoints.save(3, 0.7, True)
    assert not list(tmp_path.glob("step-*")) and make(tmp_path)[1].restore_latest() == 3


def test_steps_that_are_cut_off_are_passed_over(tmp_path, caplog):
    save(tmp_path, [0.5])
    save_steps(tmp_path, 1, 4, 9.0)
    cut(tmp_path, "step-1-4")
    model, checkpoints = make(tmp_path)
    assert checkpoints.restore_latest() == 1 and checkpoints.restore_within(1) is None
    assert "step-1-4 is skipped" in caplog.text and model.get_weights()[0] == 1


def test_another_worker_reads_the_chiefs_checkpoints_and_writes_its_own(tmp_path):
    save(tmp_path / "chief", [0.5, 0.4])
    before = sorted((tmp_path / "chief").iterdir())
    model, checkpoints = make(tmp_path / "other")
    assert checkpoints.restore_latest(tmp_path / "chief") == 2 and model.get_weights()[0] == 2
    assert int(checkpoints.best_epoch) == 1
    checkpoints.save(3, 0.9, True)
    assert sorted((tmp_path / "chief").iterdir()) == before and (tmp_path / "other/epoch-3.index").exists()
