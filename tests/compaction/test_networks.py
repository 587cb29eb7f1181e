"""Whole networks with masks at 98% and more, and BatchNormalization as after a training."""

import numpy as np
import pytest

import tost_tf as tost
from tests.compaction.conftest import in_double_precision, random_inputs
from tests.exhaustive import exhaustive
from tost_tf.compaction.graph import Graph
from tost_tf.compaction.plan import Plan
from tost_tf.compaction.report import CompactionReport
from tost_tf.compat import keras, tf
from tost_tf.graph.kernels import prunable_weights


def mask_in_place(model: keras.Model, mask: str, **options) -> None:
    images = tf.random.stateless_normal((20, *model.input_shape[1:]), (1, 2))
    labels = tf.one_hot(tf.range(20) % 10, 10)
    masks = getattr(tost.masks, mask)(model, tf.data.Dataset.from_tensors((images, labels)), **options)
    for path, weight in prunable_weights(model).items():
        weight.assign(weight.numpy() * masks[path])


def compact_settled(model: keras.Model) -> CompactionReport:
    """Compacts a network, and checks it in double precision as well.

    In single precision deep networks of random weights differ from themselves in double precision by 1e-5 and more.
    """
    images = random_inputs(model)
    small, report = tost.compact(model)
    before, after = np.array(model(images)), np.array(small(images))
    exact, exact_after = (np.array(in_double_precision(network)(images)) for network in (model, small))
    scale = np.abs(exact).max()
    assert np.ptp(exact, axis=0).max() > 0.1 * scale  # what is left depends on the image
    np.testing.assert_allclose(exact_after, exact, rtol=0, atol=1e-5 * scale)
    rounding = np.abs(before - exact).max()
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * scale + 4 * rounding)
    assert Plan(Graph(small)).changes_nothing
    return report


@pytest.mark.parametrize(
    ("name", "width", "mask", "sparsity"),
    [
        ("resnet20", 1, "synflow", 0.98),
        exhaustive("resnet20", 1, "snip", 0.98),
        exhaustive("resnet20", 1, "magnitude", 0.99),
        ("resnet18", 0.25, "magnitude", 0.99),
        exhaustive("vgg16", 0.5, "snip", 0.98),
        exhaustive("mobilenet", 0.5, "synflow", 0.98),
    ],
)
def test_networks_of_this_project(settle, name, width, mask, sparsity):
    model = tost.models.build(name, (16, 16, 3), 10, width)
    # Weights of the classifier start small: by magnitude none would be left.
    options = {"synflow": {"iterations": 5}, "magnitude": {"dense_layers": "^logits$"}}
    mask_in_place(model, mask, sparsity=sparsity, **options.get(mask, {}))
    settle(model)
    report = compact_settled(model)
    assert report.removed_fraction > 0.1 and report.macs[1] < 0.9 * report.macs[0]


# The MobileNets are so narrow that 98% lets nothing through.
@pytest.mark.parametrize(
    ("name", "sparsity"),
    [
        ("MobileNetV2, first blocks", 0.9),
        exhaustive("MobileNetV2", 0.9),
        exhaustive("MobileNetV3Small", 0.9),
        exhaustive("DenseNet121", 0.98),
    ],
)
def test_applications(settle, name, sparsity):
    application, _, first_blocks = name.partition(", ")
    options = {"alpha": 0.35} if application == "MobileNetV2" else {}
    model = getattr(keras.applications, application)(
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None, **options
    )
    if first_blocks:
        pooled = keras.layers.GlobalAveragePooling2D()(model.get_layer("block_5_add").output)
        model = keras.Model(model.input, keras.layers.Dense(10, name="predictions")(pooled))
    mask_in_place(model, "magnitude", sparsity=sparsity, scope="layer", dense_layers="depthwise")
    settle(model)
    report = compact_settled(model)
    assert report.channels[1] < report.channels[0] and report.macs[1] < report.macs[0]


def test_network_that_was_trained(compacted):
    model = tost.models.build("resnet8", (8, 8, 1), 10)
    sparse = tost.sparsify(model, tost.masks.synflow(model, sparsity=0.97))
    sparse.compile(keras.optimizers.SGD(0.05), keras.losses.CategoricalCrossentropy(from_logits=True), run_eagerly=True)
    images = np.random.default_rng(0).normal(size=(96, 8, 8, 1)).astype(np.float32)
    sparse.fit(images, np.eye(10)[np.arange(96) % 10], batch_size=32, epochs=2, verbose=0)
    final = tost.strip(sparse)
    assert any(np.any(layer.beta) for layer in final.layers if isinstance(layer, keras.layers.BatchNormalization))
    small, report = compacted(final)
    assert report.removed_fraction > 0.2 and np.ptp(small(images), axis=0).max() > 0.1


def test_hardly_anything_is_dead(compacted):
    model = tost.models.build("resnet8", (8, 8, 1), 10)
    mask_in_place(model, "random", sparsity=0.5)
    _, report = compacted(model)
    assert report.channels[0] == report.channels[1]
    assert report.summary().startswith("hardly anything could be removed: 0.0% of the channels (")


def test_summary_and_dictionary_say_what_was_removed(compacted):
    image = keras.Input((4, 5, 2))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, name="logits")(x))
    kernel = model.get_layer("conv").kernel
    kernel.assign(kernel.numpy() * (np.arange(4) > 0))
    report = compacted(model)[1]
    # 4·5 places x 9·2·4 weights and 4·3, then 20·9·2·3 and 3·3.
    assert report.summary() == "7 channels to 6, 2 layers to 2, 1,452 MACs to 1,089 (75.0%)"
    assert report.as_dict()["layers"] == {
        "conv": {"channels": [4, 3], "macs": [1440, 1080]},
        "logits": {"channels": [3, 3], "macs": [12, 9]},
    }


def test_other_objects_are_refused():
    with pytest.raises(tost.TostError, match="expected a functional or Sequential"):
        tost.compact(3)
    model = tost.models.build("resnet8", (8, 8, 1), 10, 0.1)
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.5))
    for unfinished in (sparse, tost.GhostModel(sparse)):
        with pytest.raises(tost.TostError, match="call `tost_tf.strip` first"):
            tost.compact(unfinished)
