"""Small networks and small data for all tests. Two logical CPU devices, so that a mirrored
strategy has two replicas.
"""

from __future__ import annotations

import gc
import os
import resource

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The suite runs in as many processes as there are cores: more threads in each only wait for one another.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np
import pytest

from tests.memory import forget
from tost_tf.compat import keras, tf
from tost_tf.data.images import ImageData, LabelledImages

LARGEST_WORKER = 2.0  # GiB
# Few and long: begun first, so that no process of the suite is left alone with them at the end.
LONG = tuple(
    f"tests/{name}"
    for name in ("experiment/stages", "experiment/commands", "colab", "convert", "test_appl", "test_exam")
)


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="tests marked as exhaustive too")


def pytest_collection(session):
    """Two devices, but not in the process that only gives tests to others: they wait for it to import TensorFlow."""
    if session.config.pluginmanager.hasplugin("dsession"):
        return
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all"):
        exhaustive = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=exhaustive)
        items[:] = [item for item in items if item not in exhaustive]
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish():
    """What was imported stays: the garbage collector need not look at its hundreds of thousands of objects."""
    gc.collect()
    gc.freeze()
    # Nor is a graph in the making garbage, in which the collector would look for some at every 700 objects.
    gc.set_threshold(20_000, 20, 100)


def pytest_configure(config):
    config.stash[PEAKS] = {}


PEAKS = pytest.StashKey[dict[str, float]]()


def pytest_testnodedown(node):
    if "peak" in getattr(node, "workeroutput", {}):
        node.config.stash[PEAKS][node.gateway.id] = node.workeroutput["peak"]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """A process of the suite that grew too large fails it, all of its tests or not."""
    config = session.config
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if hasattr(config, "workeroutput"):
        config.workeroutput["peak"] = peak
        return
    config.stash[PEAKS]["main"] = peak
    if not config.getoption("--all") and max(config.stash[PEAKS].values()) > LARGEST_WORKER:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    rows = [row for report in reports for name, row in report.user_properties if name == "application"]
    if rows:
        terminalreporter.section("keras.applications, ghosted and stripped")
        terminalreporter.write_line(f"{'':20} neurons  skips     prunable      faded   stripped")
        for row in rows:
            terminalreporter.write_line(row)
    peaks = config.stash[PEAKS]
    told = ", ".join(f"{name} {peak:.2f}" for name, peak in sorted(peaks.items()))
    limit = "" if config.getoption("--all") else f"; none may have more than {LARGEST_WORKER:g}"
    terminalreporter.write_line(f"peak memory in GiB: {told}{limit}", red=max(peaks.values()) > LARGEST_WORKER)


@pytest.fixture(scope="module", autouse=True)
def _forgotten():
    """What a file built does not stay in memory for the next."""
    yield
    forget()


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(7)


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.MirroredStrategy:
    """One strategy for all tests: TensorFlow numbers the collectives of each anew, and on CPU devices they collide."""
    return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")])


@pytest.fixture
def small_model() -> keras.Model:
    """Stem, a residual block that halves the image and widens 3 to 5 channels, a classifier of 4 classes."""
    layers = keras.layers
    image = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    shortcut = layers.Conv2D(5, 1, strides=2, name="shortcut")(x)
    y = layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False, name="conv1")(x)
    y = layers.BatchNormalization(name="bn1")(y)
    y = layers.ReLU(name="relu1")(y)
    y = layers.DepthwiseConv2D(3, padding="same", name="conv2")(y)
    y = layers.Add(name="add")([y, shortcut])
    y = layers.Activation("relu", name="relu2")(y)
    y = layers.GlobalAveragePooling2D(name="pool")(y)
    return keras.Model(image, layers.Dense(4, name="logits")(y), name="small")


@pytest.fixture
def small_images() -> tuple[np.ndarray, np.ndarray]:
    """20 inputs for `small_model` and their one-hot labels."""
    generator = np.random.default_rng(3)
    images = generator.normal(size=(20, 6, 6, 2)).astype(np.float32)
    return images, np.eye(4, dtype=np.float32)[generator.integers(0, 4, 20)]


@pytest.fixture
def small_data() -> ImageData:
    """11 training, 3 validation and 5 test images of 6x5 pixels, each filled with its own number."""

    def part(first: int, count: int) -> LabelledImages:
        numbers = np.arange(first, first + count)
        images = np.broadcast_to(numbers[:, None, None, None], (count, 6, 5, 3)).astype(np.uint8)
        return LabelledImages(images, (numbers % 4).astype(np.int32))

    return ImageData(part(1, 11), part(100, 3), part(200, 5), 4, (0.1, 0.2, 0.3), (0.5, 0.25, 0.2))
