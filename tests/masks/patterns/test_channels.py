"""Masks of whole channels, and what compaction makes of them."""

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compaction.joined import joined_channels
from tost_tf.compaction.report import multiply_adds
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.patterns.pattern import found_pattern, parsed_pattern
from tost_tf.masks.quota import Quota

layers = keras.layers


def scored(model, **scores):
    """Scores of 1 for each weight, but for the filters (the last axis) of some layers."""
    values = {path: np.ones(tuple(weight.shape)) for path, weight in prunable_weights(model).items()}
    for name, filters in scores.items():
        values[f"{name}/kernel"] = values[f"{name}/kernel"] * np.array(filters)
    return values


@pytest.fixture
def chain() -> keras.Model:
    """2 inputs, 3 hidden units, 4 hidden units, 2 outputs: 6 + 12 + 8 weights."""
    image = keras.Input((2,))
    x = layers.ReLU()(layers.Dense(3, name="a")(image))
    x = layers.ReLU()(layers.Dense(4, name="b")(x))
    return keras.Model(image, layers.Dense(2, name="logits")(x), name="chain")


def test_by_hand(chain):
    scores = scored(chain, a=[3, 1, 2], b=[1, 0.3, 2, 1.5])
    # Units of a: two weights that write it, with the scores 3, 1, 2, and four that read it, 4.8 each: 10.8, 6.8, 8.8.
    # Units of b: three that write it (3, 0.9, 6, 4.5) and two that read it: 5, 2.9, 8, 6.5.
    # From the best: a0, a2, b2, a1, b3, b0, b1. Kept with a0, a2, b2: 4 + 2 + 2; and a1: 6 + 3 + 2; and b3: 6 + 6 + 4.
    one = tost.masks.from_scores(chain, scores, 0.7, pattern="channels")  # 7.8 of 26
    assert one["a/kernel"].tolist() == [[1, 0, 1]] * 2 and one["logits/kernel"].tolist() == [
        [0, 0],
        [0, 0],
        [1, 1],
        [0, 0],
    ]
    assert one["b/kernel"].tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert tost.masks.from_scores(chain, scores, 1 - 10 / 26, pattern="channels").kept == 11
    assert tost.masks.from_scores(chain, scores, 1 - 14 / 26, pattern="channels").kept == 16
    assert tost.masks.from_scores(chain, scores, 1 - 5 / 26, pattern="channels").kept == 5  # 2 + 1 + 2, at least one
    with pytest.raises(TostError, match="5 weights stay if each kernel keeps one channel: .* cannot keep 2"):
        parsed_pattern("channels").selection(chain).select(scores, Quota(together=2))


def test_in_multiples(chain):
    scores = scored(chain, a=[3, 1, 2], b=[1, 0.3, 2, 1.5])
    # The scores of channels as above. In twos: a0 and a2, a1 alone; b2 and b3, b0 and b1. The first of each stay: 4 + 4
    # + 4 weights. Then a1 with 6.8, before b0 and b1 with 3.95 in the mean: 6 + 6 + 4.
    masks = tost.masks.from_scores(chain, scores, 0.7, pattern="channels:2")
    assert masks["a/kernel"].tolist() == [[1, 0, 1]] * 2 and masks["logits/kernel"][:, 0].tolist() == [0, 0, 1, 1]
    assert masks["b/kernel"].tolist() == [[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]]
    assert tost.masks.from_scores(chain, scores, 1 - 15 / 26, pattern="channels:2").kept == 16
    assert tost.masks.from_scores(chain, scores, 1 - 22 / 26, pattern="channels:2").kept == 26
    with pytest.raises(TostError, match="12 weights stay if each kernel keeps 2 channels: .* cannot keep 5"):
        parsed_pattern("channels:2").selection(chain).select(scores, Quota(together=5))


def test_layers_with_a_single_channel_are_named(caplog):
    image = keras.Input((3,))
    x = layers.ReLU()(layers.Dense(8, name="wide")(image))
    x = layers.ReLU()(layers.Dense(7, name="less")(x))
    model = keras.Model(image, layers.Dense(20, name="logits")(x), name="narrowed")
    scores = scored(model, wide=[9] + [1e-3] * 7, less=[9] + [1e-3] * 6)
    # The first channels of each, 3 + 1 + 20 weights, have the scores 36 and 92; with another of the second it is 45.
    masks = tost.masks.from_scores(model, scores, 0.85, pattern="channels")
    kept = {path: int(masks[path].any(axis=0).sum()) for path in masks}
    assert (kept["wide/kernel"], kept["less/kernel"]) == (1, 1)
    # Of less than eight channels, one is not few.
    assert "1 layer(s) of narrowed keep a single channel, through which little gets: wide/kernel. In the" in caplog.text
    caplog.clear()
    tost.masks.from_scores(model, scores, 0.85, pattern="channels", scope="layer")
    assert "single channel" not in caplog.text


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_compacted_network_has_multiples(scope):
    model = tost.models.build("resnet8", (8, 8, 3), 10, 2)  # 32, 64 and 128 channels
    masks = tost.masks.random(model, sparsity=0.7, pattern="channels:8", scope=scope)
    assert masks.sparsity == pytest.approx(0.7, abs=0.05) and masks.pattern == "channels"
    small, _ = tost.compact(tost.strip(tost.sparsify(model, masks)))
    channels = [layer.filters for layer in small.layers if isinstance(layer, layers.Conv2D)]
    assert {number % 8 for number in channels} == {0} and len(set(channels)) > 2


def test_layers_keep_the_same_fraction(chain):
    scores = scored(chain, a=[3, 1, 2], b=[1, 0.3, 2, 1.5])
    masks = tost.masks.from_scores(chain, scores, 0.55, pattern="channels", scope="layer")
    # 3, 5 and 4 of 26: 2 of the 3 channels and 2 of the 4 keep 4 + 4 + 4.
    assert masks["a/kernel"][0].tolist() == [1, 0, 1] and masks["b/kernel"][0].tolist() == [0, 0, 1, 1]


def test_a_layer_left_dense_keeps_its_filters_and_what_it_reads(chain):
    scores = {"b/kernel": np.ones((3, 4)) * [1, 0.3, 2, 1.5]}
    masks = tost.masks.from_scores(chain, scores, 0.5, pattern="channels", dense_layers="logits|^a$")
    assert masks["a/kernel"].all() and masks["logits/kernel"].all()
    assert masks["b/kernel"].tolist() == [[0, 0, 1, 1]] * 3
    with pytest.raises(TostError, match=r"on one side of a kernel at least, which logits/kernel \[4, 2\] cannot give"):
        tost.masks.random(chain, sparsity=0.5, pattern="channels", dense_layers="^b$")


def test_channels_that_are_added_belong_together(small_model):
    uses = joined_channels(small_model, [path for path in prunable_weights(small_model)])
    # The block's output: what the shortcut writes, and the depthwise convolution, so also the convolution before it.
    together = uses["shortcut/kernel"].outputs
    assert len(set(together)) == 5 and (together >= 0).all()
    for path in ("conv1/kernel", "conv2/depthwise_kernel"):
        np.testing.assert_array_equal(uses[path].outputs, together)
    np.testing.assert_array_equal(uses["logits/kernel"].inputs, together)
    assert (uses["logits/kernel"].outputs == -1).all() and (uses["stem/kernel"].inputs == -1).all()
    assert uses["conv2/depthwise_kernel"].inputs is None
    masks = tost.masks.magnitude(small_model, sparsity=0.5, pattern="channels")
    kept = masks["shortcut/kernel"].any(axis=(0, 1, 2))
    assert 0 < kept.sum() < 5
    for path in ("conv1/kernel", "conv2/depthwise_kernel"):
        np.testing.assert_array_equal(masks[path].any(axis=(0, 1)).reshape(-1, 5).any(axis=0), kept)
    np.testing.assert_array_equal(masks["logits/kernel"].any(axis=1), kept)


@pytest.mark.parametrize(
    ("name", "width", "scope"),
    [
        ("resnet8", 1, "layer"),
        ("mobilenet", 0.125, "global"),
        exhaustive("resnet8", 1, "global"),
        exhaustive("mobilenet", 0.125, "layer"),
        *(
            exhaustive(name, 0.125, scope)
            for name in ("resnet18", "vgg16", "resnet50")
            for scope in ("global", "layer")
        ),
    ],
)
def test_compaction_removes_just_these_channels(name, width, scope):
    model = tost.models.build(name, (16, 16, 3), 10, width)
    masks = tost.masks.magnitude(model, sparsity=0.7, pattern="channels", scope=scope)
    assert masks.pattern == found_pattern(masks, model).text == "channels"
    assert masks.sparsity == pytest.approx(0.7, abs=0.02) and not masks.collapsed_layers
    final = tost.strip(tost.sparsify(model, masks))
    images = tf.random.stateless_normal((3, 16, 16, 3), (1, 2))
    small, report = tost.compact(final)
    np.testing.assert_allclose(small(images), final(images), atol=1e-5)
    assert sum(weight.shape.num_elements() for weight in prunable_weights(small).values()) == masks.kept
    assert report.macs[1] == multiply_adds(final)[1] < 0.6 * report.macs[0]


def test_channels_of_nested_and_sparse_models_and_of_flattened_images():
    image = keras.Input((4, 4, 2))
    inner = keras.Sequential([layers.Conv2D(3, 3, input_shape=(4, 4, 2), name="conv"), layers.ReLU()], name="inner")
    x = layers.Flatten()(inner(image))
    model = keras.Model(image, layers.Dense(2, name="conv")(x))
    scores = scored(model) | {"inner/conv/kernel": np.ones((3, 3, 2, 3)) * [1, 3, 2]}
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.0))
    for network in (model, sparse):
        masks = tost.masks.from_scores(network, scores, 0.3, pattern="channels")
        assert masks["inner/conv/kernel"][0, 0, 0].tolist() == [0, 1, 1]
        assert masks["conv/kernel"].reshape(2, 2, 3, 2).any(axis=(0, 1, 3)).tolist() == [False, True, True]
    # A network that has lost a channel can only lose more.
    pruned = tost.sparsify(model, masks)
    again = tost.masks.from_scores(pruned, scores, 0.7, pattern="channels")
    assert again["inner/conv/kernel"][0, 0, 0].tolist() == [0, 1, 0]
    with pytest.raises(TostError, match="weights of inner/conv/kernel are pruned already, and they are not whole chan"):
        broken = {path: mask.copy() for path, mask in masks.items()}
        broken["inner/conv/kernel"][0, 0, 0, 1] = 0
        tost.masks.from_scores(tost.sparsify(model, broken), scores, 0.3, pattern="channels")


def test_layers_that_cannot_lose_a_channel_are_named():
    image = keras.Input((4, 4, 2))
    x = layers.Conv2DTranspose(3, 3, name="up")(layers.Conv2D(3, 3, name="conv")(image))
    model = keras.Model(image, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(
        TostError, match=r"conv/kernel \[3, 3, 2, 3\], up/kernel .*, logits/kernel .* with dense_layers"
    ):
        tost.masks.random(model, sparsity=0.3, pattern="channels")


def test_sparsities_of_layers_by_hand_are_refused(chain):
    with pytest.raises(TostError, match="layer_sparsity cannot be kept with the pattern channels"):
        tost.masks.random(chain, sparsity=0.3, pattern="channels", layer_sparsity={"a": 0.3})
