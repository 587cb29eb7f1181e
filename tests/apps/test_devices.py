"""Whole runs on several devices and in several processes, through the command line, against one device."""

import json

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.train.run_directory import RunDirectory

STEPS = 50


@pytest.fixture(scope="module")
def one_step_an_epoch(tmp_path_factory) -> tuple[str, ...]:
    """Flags of a run of 50 epochs of one step, so that `metrics.csv` has the loss of each step.

    The network has no BatchNormalization, which sees other batches on two devices than on one.
    """
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    x = layers.ReLU(name="relu1")(layers.Conv2D(6, 3, name="stem")(image))
    x = layers.ReLU(name="relu2")(layers.Conv2D(7, 3, strides=2, name="middle")(x))
    model = keras.Model(image, layers.Dense(10, name="logits")(layers.Flatten(name="flat")(x)), name="plain")
    path = tmp_path_factory.mktemp("model") / "plain.keras"
    model.save(path)
    data = ("--dataset=digits", "--train_examples=49", "--batch_size=49")  # two devices cannot share 49 evenly
    recipe = ("--ghost_skips=none", "--rescale_steps=2", f"--epochs={STEPS}", "--lr_drop_epochs=30,40")
    return (*data, *recipe, f"--model={path}", "--mask=snip", "--mask_examples_per_class=2", "--sparsity=0.7")


def exported(run) -> list[np.ndarray]:
    from tost_tf.compat import tf

    return [variable.numpy() for variable in tf.saved_model.load(str(run / "export/saved_model")).network_variables]


def test_run_on_two_virtual_devices(one_step_an_epoch, tost_train, tmp_path):
    run = tmp_path / "run"
    short = ("--epochs=4", "--lr_drop_epochs=2,3", "--virtual_devices=2", f"--run_dir={run}")
    code, output, errors = tost_train(*one_step_an_epoch, *short)
    assert code == 0, errors
    assert "training on 2 devices" in output
    rows = RunDirectory(run).read_metrics()
    assert [row["beta"] for row in rows] == pytest.approx([1, 10.5, np.inf, np.inf])
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    masks = tost.Masks.load(run / "mask.npz")
    kernels = [weight for weight in exported(run) if weight.ndim > 1]
    assert [np.count_nonzero(kernel) for kernel in kernels] == [mask.sum() for mask in masks.values()]
    assert json.loads((run / "result.json").read_text())["sparsity"] == pytest.approx(masks.sparsity)
