"""Models nobody wrote for this project: those of keras.applications that have ReLU.

The first blocks of one have what is special of most others: residuals and depthwise convolutions. (Convolutions in
groups, those without normalisation and concatenation are tried in small in tests/ghost and tests/compaction.) With
`--all` it is taken whole, with one of every other family, and others of it (of RegNet a few). The table of what was
found is printed after the tests.
"""

import multiprocessing
import zlib
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tests.memory import forget
from tost_tf.compat import keras, tf
from tost_tf.graph.kernels import prunable_layers, prunable_weights

# EfficientNet and ConvNeXt have no ReLU.
FIRST_BLOCKS = "MobileNetV2, begin"
OTHERS = (
    "MobileNetV2",
    *("ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2", "VGG16", "VGG19", "MobileNet"),
    *("MobileNetV3Small", "MobileNetV3Large", "DenseNet121", "DenseNet169", "DenseNet201", "InceptionV3"),
    *("InceptionResNetV2", "Xception", "NASNetMobile", "NASNetLarge", "RegNetX002", "RegNetX016", "RegNetY002"),
    *("RegNetY016", "ResNetRS50"),
)
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
SMALLER = {"MobileNet": {"alpha": 0.25}, "MobileNetV2": {"alpha": 0.35}}


@pytest.fixture(scope="module")
def process():
    """Another process: TensorFlow keeps half a gigabyte for convolutions that it has once computed."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


def build(name: str) -> keras.Model:
    if name == FIRST_BLOCKS:
        whole = build("MobileNetV2")
        x = keras.layers.GlobalAveragePooling2D()(whole.get_layer("block_5_add").output)
        return keras.Model(whole.input, keras.layers.Dense(10, name="predictions")(x), name="MobileNetV2")
    shape = (SIZES.get(name, 32),) * 2 + (3,)
    if name.startswith("VGG"):  # without its two layers of 4096, most of its weights
        body = getattr(keras.applications, name)(weights=None, input_shape=shape, include_top=False, pooling="avg")
        return keras.Model(body.input, keras.layers.Dense(10, name="predictions")(body.output), name=name)
    return getattr(keras.applications, name)(
        weights=None, input_shape=shape, classes=10, classifier_activation=None, **SMALLER.get(name, {})
    )


def largest_difference(one: tf.Tensor, other: tf.Tensor) -> float:
    """Relative to the largest value, as logits are of any size too."""
    return float(tf.reduce_max(tf.abs(one - other)) / tf.reduce_max(tf.abs(other)))


class Found(NamedTuple):
    """Of an application: ghosts, prunable weights and differences of logits; after a step, the kernels whose mask does
    not hold, and the fraction of kernels that it moved.
    """

    neurons: int
    skips: int
    prunable: int
    faded: float
    stripped: float
    not_masked: list[str]
    moved: float


def examine(application: str) -> Found:
    keras.utils.set_random_seed(7)
    forget()
    model = build(application)
    images = tf.random.stateless_uniform((2, *model.input_shape[1:]), (1, 2), -1.0, 1.0)
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    sparse = tost.sparsify(model, tost.Masks({path: np.ones(shape, np.uint8) for path, shape in shapes.items()}))
    ghosted = tost.GhostModel(sparse, skip_initializer="he_normal")
    kinds = [ghost.kind for ghost in ghosted.ghosts]

    for layer in ghosted.submodules:
        if isinstance(layer, tost.GhostSkip):
            layer.alpha.assign(0.0)
        if isinstance(layer, tost.GhostActivation):
            layer.beta.assign(1e20)  # random deep networks give any size of activations
    plain = ghosted.plain(images)
    faded = largest_difference(ghosted.ghosted(images), plain)

    final = tost.strip(ghosted, ghosts="remove")
    assert final.get_config() == model.get_config()
    stripped = largest_difference(final(images), model(images))
    del model, final  # not in memory while a step is made

    generator = np.random.default_rng(4)
    wrappers = dict(prunable_layers(sparse))
    for wrapper in wrappers.values():
        wrapper.set_mask(generator.random(wrapper.kernel.shape) < 0.3)
    before = {path: zlib.crc32(wrapper.kernel.numpy()) for path, wrapper in wrappers.items()}
    ghosted.compile(
        keras.optimizers.SGD(1e-3), keras.losses.CategoricalCrossentropy(from_logits=True), run_eagerly=True
    )
    ghosted.train_on_batch(images, np.eye(10)[:2])
    after = {path: wrapper.kernel.numpy() for path, wrapper in wrappers.items()}
    return Found(
        neurons=kinds.count("pswish"),
        skips=kinds.count("projection"),
        prunable=sum(int(np.prod(shape)) for shape in shapes.values()),
        faded=faded,
        stripped=stripped,
        not_masked=[path for path, kernel in after.items() if np.any(kernel[wrappers[path].mask.numpy() == 0])],
        moved=np.mean([zlib.crc32(kernel) != before[path] for path, kernel in after.items()]),
    )


@pytest.mark.parametrize("application", [FIRST_BLOCKS, *map(exhaustive, OTHERS)])
def test_applications(application, process, record_property):
    found = process.submit(examine, application).result()
    row = f"{application:20} {found.neurons:8} {found.skips:6} {found.prunable:12,}"
    record_property("application", f"{row} {found.faded:10.1e} {found.stripped:10.1e}")
    assert found.neurons > 0 and found.skips > 0
    assert found.faded < 1e-4 and found.stripped == 0
    assert not found.not_masked
    assert found.moved > 0.5  # through VGG, which has no normalisation, hardly a gradient comes
