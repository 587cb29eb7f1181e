"""Runs whose crops follow how far the network overfits."""

import re

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import tf
from tost_tf.data.pipeline import training_batches
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.adapt_crops import AdaptCrops, evenly_spaced, no_crops
from tost_tf.experiment.run.folder import RunDirectory

# Five steps an epoch; a gap is made large by few images, a high learning rate and a network that fits them.
OPTIONS = {
    **{"dataset": "digits", "train_examples": 60, "batch_size": 12, "epochs": 6, "augment": True},
    **{"mask": "erk", "sparsity": 0.3, "recipe": "default", "deterministic": True, "learning_rate": 0.05},
    **{"adaptive_crops": True, "weight_average": 0.5},
}


@pytest.fixture
def one_epoch_ahead(monkeypatch):
    """As if an epoch of five steps were a long one: pipelines draw three batches ahead at most."""
    monkeypatch.setattr("tost_tf.data.adaptive_crops.BATCHES_AHEAD", 5)
    monkeypatch.setattr("tost_tf.data.pipeline.BATCHES_AHEAD", 4)


def test_crops_follow_the_gap_and_a_stopped_run_ends_as_one_that_was_not(
    network, tmp_path, one_epoch_ahead, stopped_after
):
    for name in ("whole", "stopped"):
        config = RunConfig.make(model=network, **OPTIONS, run_dir=str(tmp_path / name))
        if name == "stopped":
            assert stopped_after(config, 17) == "step 2 of epoch 4"
        tost.launch(config)
    whole, stopped = (RunDirectory(tmp_path / name).read_metrics() for name in ("whole", "stopped"))
    gaps = [row["clean_accuracy"] - row["val_accuracy"] for row in whole]
    probabilities = [row["crop_probability"] for row in whole]
    expected = [0, 0, *(min(1, max(0, (gap - 0.02) / 0.08)) for gap in gaps[:-2])]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert max(probabilities) > 0
    for one, other in zip(whole, stopped, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


def test_a_run_whose_accuracies_are_lost_does_not_go_on_otherwise(network, tmp_path, stopped_after):
    config = RunConfig.make(model=network, **OPTIONS, run_dir=str(tmp_path / "run"))
    assert stopped_after(config, 7) == "step 2 of epoch 2"
    (tmp_path / "run/metrics.csv").unlink()
    with pytest.raises(TostError, match="does not have the accuracies of every epoch up to 1, by which --adaptive"):
        tost.launch(config)


class FixedAccuracy:
    """A model with an accuracy that is given."""

    def __init__(self, accuracy):
        self.accuracy = accuracy

    def evaluate(self, batches, verbose, return_dict):
        self.images = sum(len(images) for images, _ in batches)
        return {"accuracy": self.accuracy}


def test_later_epochs_are_decided_by_the_gap(small_data):
    probabilities = no_crops(8)
    rows = [{"clean_accuracy": 0.55, "val_accuracy": 0.5}]
    callback = AdaptCrops(probabilities, small_data, 40, rows)  # so two epochs may be drawn ahead
    np.testing.assert_allclose(probabilities, [0, 0, 0, 0.375, 0, 0, 0, 0], atol=1e-6)
    model = FixedAccuracy(0.9)
    callback.set_model(model)
    logs = {"val_accuracy": 0.6}
    callback.on_epoch_end(1, logs)
    assert logs["clean_accuracy"] == 0.9 and logs["crop_probability"] == 0
    assert model.images == len(small_data.validation)
    np.testing.assert_allclose(probabilities, [0, 0, 0, 0.375, 1, 0, 0, 0], atol=1e-6)
    callback.on_epoch_end(6, logs)  # the last epochs decide nothing
    np.testing.assert_allclose(probabilities, [0, 0, 0, 0.375, 1, 0, 0, 0], atol=1e-6)


def test_two_devices_share_the_images_that_one_sees(two_replicas, small_data):
    probabilities = no_crops(2)
    probabilities.assign([0.0, 0.7])
    with two_replicas.scope():
        shared = two_replicas.experimental_distribute_dataset(
            training_batches(small_data, 4, 3, 2, crop_padding=2, crop_probabilities=probabilities)
        )
    own = training_batches(small_data, 4, 3, 2, crop_padding=2, crop_probabilities=np.float32([0, 0.7]))
    steps = 0
    for (parts, _), (images, _) in zip(shared, own, strict=True):
        steps += 1
        np.testing.assert_array_equal(tf.concat(two_replicas.experimental_local_results(parts), 0), images)
    assert steps == 6


def test_images_of_all_classes_are_looked_at():
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(3, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": False}, "--adaptive_crops=True has no effect with --augment=False"),
        ({"crop_padding": 0}, "--adaptive_crops=True has no effect with --crop_padding=0"),
        ({"recipe": "tost_plus"}, "--adaptive_crops=True has no effect with --crop_padding=0"),
    ],
)
def test_crops_that_cannot_be(options, message):
    with pytest.raises(TostError, match=re.escape(message)):
        RunConfig.make(**{"dataset": "cifar10", "recipe": "default", "adaptive_crops": True} | options)
