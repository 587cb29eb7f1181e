"""Ghosts that carry the network are named while there is time."""

import math

import numpy as np
import pytest

from tost_tf.experiment.run.watch_plain_view import WatchPlainView
from tost_tf.ghost.model import GhostModel


@pytest.fixture
def watch(small_model, small_images):
    callback = WatchPlainView(*small_images)
    callback.set_model(GhostModel(small_model))
    return callback


def make_wrong(model: GhostModel) -> None:
    """The plain view is sure of a wrong answer."""
    top = model.plain.get_layer("logits")
    top.set_weights([np.zeros_like(top.kernel), np.array([50.0, 0, 0, 0], np.float32)])


def test_it_warns_once_if_the_plain_view_is_worse_than_a_guess(watch, caplog):
    make_wrong(watch.model)
    for epoch, loss in enumerate((0.6 * math.log(4), 0.4 * math.log(4), 0.1)):
        logs = {"loss": loss}
        watch.on_epoch_end(epoch, logs)
        assert logs["plain_loss"] > math.log(4)
    assert caplog.text.count("the network depends on its ghosts: after epoch 2 the loss is 0.555 with them") == 1
    assert "that of a guess is 1.39" in caplog.text


def test_a_plain_view_that_learns_gives_no_warning(watch, caplog):
    top = watch.model.plain.get_layer("logits")
    top.set_weights([np.zeros_like(top.kernel), np.array([0.1, 0, 0, 0], np.float32)])
    logs = {"loss": 0.1}
    watch.on_epoch_end(0, logs)
    assert logs["plain_loss"] == pytest.approx(math.log(4), abs=0.1)
    watch.model.remove_ghosts()
    logs = {"loss": 0.1}
    watch.on_epoch_end(1, logs)
    assert "plain_loss" not in logs and not caplog.text.count("depends on its ghosts: after epoch 2")
