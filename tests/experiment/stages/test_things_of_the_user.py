"""One run in which everything that has a name is the user's: each is one value under a registered name."""

import contextlib
import json

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.data.arrays import from_arrays
from tost_tf.dynamic.growth import Growth
from tost_tf.dynamic.method import DynamicMethod
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.masks.search import MaskMethod
from tost_tf.registry import REGISTRIES
from tost_tf.training.optimizer import CoupledSGD
from tost_tf.training.optimizer_methods import OptimizerMethod
from tost_tf.training.optimizer_tweak import OptimizerTweak


def data(config):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (50, 6, 6, 1)).astype(np.uint8)
    labels = (images.mean((1, 2, 3)) > 127).astype(int) + 2 * (images[:, 0, 0, 0] > 200)
    return from_arrays("mine", (images[:40], labels[:40]), (images[40:], labels[40:]), config)


def network(input_shape, num_classes, width_multiplier):
    layers = keras.layers
    image = keras.Input(input_shape)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="one")(image))
    x = layers.ReLU()(layers.Conv2D(5, 3, strides=2, name="two")(layers.ReLU()(x)))
    return keras.Model(image, layers.Dense(num_classes, name="logits")(layers.Flatten()(x)), name="mine")


class Halved(OptimizerTweak):
    def gradient(self, gradient, variable, mask):
        return gradient * 0.5


@pytest.fixture
def used():
    """What was called, by the kind of thing."""
    return set()


@pytest.fixture
def things(used) -> dict:
    def noted(kind, function):
        def call(*arguments, **options):
            used.add(kind)
            return function(*arguments, **options)

        return call

    growth = Growth(noted("growth", lambda gradient, generator: -np.abs(gradient)), needs_gradient=True)
    masks = noted("mask", lambda search: search.select({p: -np.abs(w.numpy()) for p, w in search.weights().items()}))
    skip = noted("ghost_skips", lambda channels, strides, initializer: [keras.layers.AveragePooling2D(strides)])
    sgd = OptimizerMethod(noted("optimizer", lambda rate, momentum, decay: CoupledSGD(rate, 0.0, decay)), 0.03)
    return {
        "dataset": noted("dataset", data),
        "model": noted("model", network),
        "mask": MaskMethod(masks),
        "growth": growth,
        "dynamic": DynamicMethod(growth, drop_score=noted("dynamic", lambda kernel: np.abs(kernel) ** 2)),
        "ghost_neurons": noted("ghost_neurons", lambda x, beta: x * tf.sigmoid(3 * beta * x)),
        "ghost_skips": skip,
        "ghost_schedule": noted("ghost_schedule", lambda progress: 1 - progress**2),
        "optimizer": sgd,
        "optimizer_tweak": Halved(),
        "learning_rate_schedule": noted("learning_rate_schedule", lambda progress: 1 - 0.9 * progress),
    }


def test_a_run_of_nothing_but_things_of_the_user(things, used, tmp_path):
    with contextlib.ExitStack() as names:
        for kind, value in things.items():
            names.enter_context(REGISTRIES[kind].temporarily("mine", value))
        named = {kind: "mine" for kind in things if kind not in ("growth", "learning_rate_schedule")}
        options = {"epochs": 4, "batch_size": 16, "sparsity": 0.4, "update_every": 1, "schedule": "mine"}
        config = tost.RunConfig.make(recipe="default", **named, **options, run_dir=str(tmp_path / "run"))
        result = tost.launch(config)
    assert used >= set(things) - {"optimizer_tweak"}
    assert (result["dataset"], result["model"], result["mask"]) == ("mine", "mine", "mine")
    assert result["sparsity"] == pytest.approx(0.4, abs=0.01)
    before, after = (tost.Masks.load(tmp_path / "run" / name) for name in ("mask.npz", "final_mask.npz"))
    assert before.kept == after.kept and before != after
    rows = RunDirectory(tmp_path / "run").read_metrics()
    # Three steps in an epoch; the ghosts last two epochs, and the last step of the first has progress 2/6.
    assert [row["alpha"] for row in rows] == pytest.approx([1 - (2 / 6) ** 2, 1 - (5 / 6) ** 2, 0, 0])
    assert rows[0]["learning_rate"] == pytest.approx(0.03 * (1 - 0.9 * 2 / 12))
    assert json.loads((tmp_path / "run/result.json").read_text())["nonzero_parameters"] == result["nonzero_parameters"]
