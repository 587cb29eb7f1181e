"""A network that trains in seconds, and launches that stop where a test wants them to."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import tost_tf as tost
from tests.warm_process import warm_processes
from tost_tf.compat import keras
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.stop import Stopped, StopSignals


@pytest.fixture(scope="package", autouse=True)
def _warm_processes():
    with warm_processes():
        yield


@pytest.fixture(scope="session")
def network(tmp_path_factory) -> str:
    """A model file for digits: two convolutions with normalisation and ReLU, and the classifier."""
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    x = layers.BatchNormalization(name="norm1")(layers.Conv2D(6, 3, name="stem", padding="same")(image))
    x = layers.Conv2D(8, 3, strides=2, name="middle")(layers.ReLU(name="relu1")(x))
    x = layers.ReLU(name="relu2")(layers.BatchNormalization(name="norm2")(x))
    model = keras.Model(image, layers.Dense(10, name="logits")(layers.Flatten(name="flat")(x)), name="little")
    path: Path = tmp_path_factory.mktemp("network") / "little.keras"
    model.save(path)
    return str(path)


@pytest.fixture
def stopped_after(monkeypatch) -> Callable[[RunConfig, int], str]:
    """Launches a run as if SIGTERM came in its Nth step of training: a function of both, to what it says of where."""

    def launch(config: RunConfig, steps: int) -> str:
        asked = iter([None] * (steps - 1) + [signal.SIGTERM])  # once after every step
        with monkeypatch.context() as patch:
            patch.setattr(
                StopSignals, "requested", property(lambda self: next(asked), lambda self, value: None), raising=False
            )
            with pytest.raises(Stopped) as stopped:
                tost.launch(config)
        return stopped.value.where

    return launch
