"""A run that resumes has the data it began with."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from tost_tf.data.digits import load_digits
from tost_tf.data.options import DataConfig
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.same_data import note_data, require_same_data

DATA = load_digits(DataConfig(dataset="digits", train_examples=60))


def run_of(data, folder):
    return SimpleNamespace(
        data=data, directory=RunDirectory(folder), writes=True, config=RunConfig.make(dataset="digits")
    )


def test_other_examples_or_another_order_are_refused(tmp_path, caplog):
    run = run_of(DATA, tmp_path)
    require_same_data(run)  # nothing is known yet
    note_data(run)
    require_same_data(run)
    note_data(run_of(dataclasses.replace(DATA, train=DATA.test), tmp_path))  # does not replace what is known
    others = {
        "fewer": DATA.train.take(np.arange(59)),
        "turned": DATA.train.take(np.arange(60)[::-1]),
    }
    for train in others.values():
        with pytest.raises(TostError, match="the training part of --dataset=digits has changed since this run began"):
            require_same_data(run_of(dataclasses.replace(DATA, train=train), tmp_path))
    assert not caplog.text
    lighter = dataclasses.replace(DATA.test, images=DATA.test.images + 1)
    require_same_data(run_of(dataclasses.replace(DATA, test=lighter), tmp_path))
    assert "the test examples are not exactly those this run began with" in caplog.text
