"""Keras 3 in and out, with processes that know nothing of this project at both ends."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tests.convert.plain_keras3 import images
from tost_tf.compat import keras, keras3
from tost_tf.convert.to_keras3 import to_keras3
from tost_tf.registry import MODELS

APPLICATIONS = ("little",)
LARGER_APPLICATIONS = (
    "MobileNet",
    "EfficientNetB0",
    "MobileNetV2",
    "DenseNet121",
    "VGG16",
    "ResNet50",
    "InceptionV3",
    "Xception",
)
# Name and size of the images -> width multiplier; from 128 pixels on the networks have another stem.
ZOO = {("resnet8", 32): 0.25}
LARGER_ZOO = {
    **{("vgg16", 32): 0.25, ("mobilenet", 128): 0.25, ("resnet34", 128): 0.0625},
    **{
        ("resnet18", 32): 0.25,
        ("resnet50", 32): 0.125,
        ("resnet20", 32): 1.0,
        ("resnet32x2", 32): 0.0625,
        ("mobilenet", 32): 0.5,
        ("vgg19", 128): 0.0625,
    },
    **{(f"resnet{depth}", 32): 0.0625 for depth in (32, 44, 56, 104, 110, 101, 152)},
}


def names(networks: Iterable) -> list[str]:
    return [network if isinstance(network, str) else "{}_{}".format(*network) for network in networks]


def and_larger(some: Iterable, larger: Iterable) -> list:
    """The names of all, those of the larger networks (of the same layers) marked as exhaustive."""
    return [*names(some), *(pytest.param(name, marks=pytest.mark.exhaustive) for name in names(larger))]


@pytest.fixture(scope="module")
def applications(request) -> tuple[str, ...]:
    return APPLICATIONS + (LARGER_APPLICATIONS if request.config.getoption("--all") else ())


@pytest.fixture(scope="module")
def zoo(request) -> dict[tuple[str, int], float]:
    return ZOO | (LARGER_ZOO if request.config.getoption("--all") else {})


def plain_keras3(*arguments: object) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    program = Path(__file__).with_name("plain_keras3.py")
    command = [sys.executable, str(program), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def assert_close(one: np.ndarray, other: np.ndarray) -> None:
    assert np.max(np.abs(one - other)) <= 1e-5 * max(1.0, np.max(np.abs(other)))


@pytest.fixture(scope="module")
def made(applications, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("keras3")
    plain_keras3("make", folder, *applications)
    return folder


@pytest.fixture(scope="module")
def exported(made, applications, zoo, tmp_path_factory) -> Path:
    """Every application converted, and every network of the zoo, exported and run by plain Keras 3."""
    folder = tmp_path_factory.mktemp("exported")
    for name in applications:
        tost.export.keras3(
            tost.from_keras3(keras3().models.load_model(made / f"{name}.keras")), folder / f"{name}.keras"
        )
    for (network, size), width in zoo.items():
        name = f"{network}_{size}"
        keras.utils.set_random_seed(3)
        model = tost.models.build(network, (size, size, 3), 10, width)
        masks = tost.masks.random(model, sparsity=0.9, seed=3)
        final = tost.strip(tost.sparsify(model, masks))
        np.save(folder / f"{name}_expected.npy", final(images(final.input_shape), training=False))
        tost.export.keras3(final, folder / f"{name}.keras")
    plain_keras3("run", folder)
    return folder


@pytest.mark.parametrize("name", and_larger(APPLICATIONS, LARGER_APPLICATIONS))
def test_keras_3_models_give_the_same_in_tf_keras(made, name):
    original = keras3().models.load_model(made / f"{name}.keras")
    model = tost.from_keras3(original)
    assert [layer.name for layer in model.layers] == [layer.name for layer in original.layers]
    assert_close(model(images(model.input_shape), training=False).numpy(), np.load(made / f"{name}.npy"))


@pytest.mark.parametrize("name", and_larger(APPLICATIONS, LARGER_APPLICATIONS))
def test_and_the_same_again_when_they_are_exported(made, exported, name):
    assert_close(np.load(exported / f"{name}.npy"), np.load(made / f"{name}.npy"))


@pytest.mark.parametrize("name", and_larger(ZOO, LARGER_ZOO))
def test_sparse_networks_of_the_zoo_are_exported_and_loaded_again(exported, name):
    expected = np.load(exported / f"{name}_expected.npy")
    assert_close(np.load(exported / f"{name}.npy"), expected)
    plain = keras3().models.load_model(exported / f"{name}.keras")
    kernels = [weight.numpy() for weight in plain.weights if "kernel" in weight.path]
    assert 1 - sum(map(np.count_nonzero, kernels)) / sum(k.size for k in kernels) == pytest.approx(0.9, abs=1e-3)
    back = tost.from_keras3(plain)
    assert_close(back(images(back.input_shape), training=False).numpy(), expected)


def test_every_network_of_the_zoo_is_tried():
    assert {network for network, _ in ZOO | LARGER_ZOO} == set(MODELS)


def test_converted_model_can_be_sparsified_and_trained():
    layers = keras3().layers
    stack = [
        layers.Conv2D(4, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(6),
        layers.DepthwiseConv2D(3),
    ]
    model = tost.from_keras3(
        keras3().Sequential([keras3().Input((8, 8, 3)), *stack, layers.GlobalAveragePooling2D(), layers.Dense(5)])
    )
    ghosted = tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=0.5)))
    ghosted.compile("sgd", "mse", run_eagerly=True)
    x = images(model.input_shape)
    ghosted.train_on_batch(x, np.zeros(ghosted(x).shape))
    assert to_keras3(tost.strip(ghosted, ghosts="remove")).count_params() == model.count_params()
