"""Masks with a pattern, by hand and of whole networks."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_utils import is_pruned_m_by_n

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.division import Division, channels_of
from tost_tf.masks.patterns.pattern import Pattern, found_pattern
from tost_tf.masks.sparsify import masks_of
from tost_tf.registry import MASK_PATTERNS, MASKS

SCORES = [[1, 8, 3], [7, 2, 4], [5, 6, 0], [9, 1, 2]]  # [4 inputs, 3 outputs]


@pytest.fixture
def dense() -> keras.Model:
    return keras.Sequential([keras.layers.Dense(3, name="dense", input_shape=(4,))])


@pytest.fixture
def network() -> keras.Model:
    """Two convolutions and a classifier, whose channels can be divided by 4, behind a stem that cannot."""
    layers = keras.layers
    image = keras.Input((6, 6, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", name="stem")(image)))
    x = layers.ReLU()(layers.Conv2D(12, 3, padding="same", name="one")(x))
    x = layers.ReLU()(layers.Conv2D(8, 3, strides=2, name="two")(x))
    return keras.Model(image, layers.Dense(4, name="logits")(layers.GlobalAveragePooling2D()(x)), name="network")


@pytest.mark.parametrize(
    ("pattern", "sparsity", "mask"),
    [
        ("unstructured", 0.7, [[0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]),
        ("block:2x1", 0.7, [[0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]]),  # sums 8, 10, 7 and 14, 7, 2: 3.6 are kept
        ("block:1x3", 0.7, [[0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]]),  # sums 12, 13, 11, 12: one is nearer to 3.6
        ("1:2", None, [[0, 1, 0], [1, 0, 1], [0, 1, 0], [1, 0, 1]]),
        ("3:4", 0.25, [[0, 1, 1], [1, 1, 1], [1, 1, 0], [1, 0, 1]]),
        ("fan_in", 0.55, [[0, 1, 1], [1, 0, 1], [0, 1, 0], [1, 0, 0]]),  # 5.4 of 12: two for each output are nearer
    ],
)
def test_by_hand(dense, pattern, sparsity, mask):
    masks = tost.masks.from_scores(dense, {"dense/kernel": SCORES}, sparsity, pattern=pattern)
    assert masks["dense/kernel"].tolist() == mask


def test_layers_share_what_rounding_leaves():
    """With fan_in a layer keeps as many as without, rounded; all together the nearest number."""
    layers = [keras.layers.Dense(3, name="a", input_shape=(4,)), keras.layers.Dense(2, name="b")]
    model = keras.Sequential(layers)
    scores = {"a/kernel": 10 + np.array(SCORES), "b/kernel": [[9, 9], [1, 2], [3, 17.5]]}
    # 7 of 18: 6 of a are 14 to 19, and 17.5 is b's. That is 2 for each of three and 1 for each of two, together 8.
    masks = tost.masks.from_scores(model, scores, 0.6, pattern="fan_in")
    assert masks["a/kernel"].sum(axis=0).tolist() == [2, 2, 2] and masks["b/kernel"].tolist() == [
        [1, 0],
        [0, 0],
        [0, 1],
    ]
    by_layer = tost.masks.from_scores(model, scores, 0.6, pattern="fan_in", scope="layer")  # 4.8 and 2.4
    assert by_layer["a/kernel"].sum(axis=0).tolist() == [2, 2, 2] and by_layer["b/kernel"].sum() == 2


PATTERNS = ("block:4x2", "2:4", "fan_in", "channels")
# Masks of scores by a gradient are selected by the same lines as those of magnitudes.
PAIRS = [
    *itertools.product(("random", "erk", "magnitude"), PATTERNS),
    *(("snip", "fan_in"), ("grasp", "channels"), ("synflow", "2:4"), ("synflow", "fan_in")),
]


@pytest.mark.parametrize(
    ("method", "pattern"),
    [
        *PAIRS,
        *(exhaustive(*pair) for pair in itertools.product(("snip", "grasp", "synflow"), PATTERNS) if pair not in PAIRS),
    ],
)
def test_every_method_finds_masks_with_a_pattern(network, method, pattern):
    images = tf.random.stateless_normal((8, 6, 6, 3), (1, 2))
    data = [(images, tf.one_hot(tf.range(8) % 4, 4))]
    given = {"sparsity": None if pattern == "2:4" else 0.6, "dense_layers": "stem"}
    options = {"iterations": 3} if method == "synflow" else {}
    masks = getattr(tost.masks, method)(network, data, pattern=pattern, **given, **options)
    assert masks["stem/kernel"].all()
    assert masks.pattern == found_pattern(masks, network).text == pattern
    sparse = masks.without("stem")
    steps = {"block:4x2": 4, "2:4": 0, "fan_in": 6, "channels": 130}[pattern]  # half of what the last unit can add
    wanted = 0.5 if pattern == "2:4" else 0.4
    assert abs(sparse.kept - wanted * sparse.size) <= steps
    if pattern in ("fan_in", "block:4x2") and MASKS[method].has_scope:
        by_layer = getattr(tost.masks, method)(network, data, pattern=pattern, scope="layer", **given, **options)
        steps = {"one/kernel": 12, "two/kernel": 8, "logits/kernel": 8}
        for path, mask in by_layer.without("stem").items():
            assert abs(mask.sum() - 0.4 * mask.size) <= steps[path] / 2
        assert by_layer.pattern == pattern


def test_a_stripped_network_passes_the_check_of_tfmot(network):
    masks = tost.masks.magnitude(network, pattern="2:4", dense_layers="stem")
    final = tost.strip(tost.sparsify(network, masks))
    for path, weight in prunable_weights(final).items():
        assert is_pruned_m_by_n(weight, (2, 4)) == (path != "stem/kernel")
    # And with one more weight in any group it does not.
    kernel = final.get_layer("logits").kernel
    kernel.assign(tf.where(kernel == 0, 0.1, kernel))
    assert not is_pruned_m_by_n(kernel, (2, 4))
    three = tost.strip(tost.sparsify(network, sparsity=0.25, pattern="3:4", mask=lambda *a, **k: _dense_stem(*a, **k)))
    assert is_pruned_m_by_n(three.get_layer("one").kernel, (1, 4))


def _dense_stem(model, sparsity, pattern):
    return tost.masks.random(model, sparsity=sparsity, pattern=pattern, dense_layers="stem")


def test_blocks_are_those_of_tfmot():
    """tensorflow-model-optimization prunes a Dense kernel by the same blocks if they are ranked by mean magnitude."""
    kernel = np.random.default_rng(3).normal(size=(8, 6)).astype(np.float32)
    model = keras.Sequential([keras.layers.Dense(6, use_bias=False, name="dense", input_shape=(8,))])
    model.set_weights([kernel])
    masks = tost.masks.magnitude(model, sparsity=0.75, pattern="block:4x2")
    schedule = tfmot.sparsity.keras.ConstantSparsity(0.75, 0)
    # Its own mask: blocks of the average of |w|, the largest quarter.
    pruned = tfmot.sparsity.keras.prune_low_magnitude(model, schedule, block_size=(4, 2))
    (wrapper,) = pruned.layers
    _, theirs = wrapper.pruning_obj._maybe_update_block_mask(tf.constant(kernel))
    # 1.5 of 6 blocks: both round to even.
    np.testing.assert_array_equal(masks["dense/kernel"], np.asarray(theirs))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("2:4", r"the pattern 2:4 needs multiples of 4 inputs, which stem/kernel \[3, 3, 2, 3\], conv1/kernel"),
        ("block:1x2", r"needs multiples of 1 inputs and of 2 outputs, which stem/kernel .* with dense_layers"),
    ],
)
def test_shapes_that_do_not_divide_are_named(small_model, pattern, message):
    with pytest.raises(TostError, match=message):
        tost.masks.random(small_model, sparsity=0.5, pattern=pattern)


def test_n_of_m_sets_the_sparsity(network):
    assert tost.masks.random(network, pattern="1:4", dense_layers="stem").without("stem").sparsity == 0.75
    with pytest.raises(TostError, match="the pattern 1:4 has sparsity 0.75, which sparsity 0.7 contradicts"):
        tost.masks.random(network, sparsity=0.7, pattern="1:4", dense_layers="stem")
    with pytest.raises(TostError, match="layer_sparsity cannot be kept with the pattern 1:4"):
        tost.masks.random(network, pattern="1:4", dense_layers="stem", layer_sparsity={"one": 0.3})
    with pytest.raises(TostError, match="a mask needs a sparsity"):
        tost.masks.random(network, pattern="fan_in")


@pytest.mark.parametrize("method", ["random", "magnitude"])
def test_sparsities_by_hand_are_those_of_whole_units(network, method):
    masks = getattr(tost.masks, method)(network, sparsity=0.5, pattern="fan_in", layer_sparsity={"^one": 0.3})
    assert masks["one/kernel"].sum() == 12 * 50  # 0.7 · 72 is 50.4
    assert abs(masks.kept - 0.5 * masks.size) <= 6 and masks.pattern == "fan_in"


def test_weights_already_pruned_stay_so(dense):
    """A unit of which a weight is pruned is not kept."""
    before = np.ones((4, 3))
    before[3, 0] = 0  # the largest
    sparse = tost.sparsify(dense, {"dense/kernel": before})
    found = tost.masks.from_scores(sparse, {"dense/kernel": SCORES}, 0.7, pattern="block:2x1")
    assert found["dense/kernel"].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]]  # sums 8 and 10
    with pytest.raises(TostError, match="12 weights cannot be kept: only 10 are not yet pruned"):
        tost.masks.from_scores(sparse, {"dense/kernel": SCORES}, 0.0, pattern="block:2x1")
    with pytest.raises(TostError, match="each 2 weights of dense/kernel .* only 0 are not yet pruned"):
        pruned = tost.sparsify(dense, {"dense/kernel": [[1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1]]})
        tost.masks.from_scores(pruned, {"dense/kernel": SCORES}, pattern="1:2")


@pytest.mark.parametrize(
    ("masks", "pattern"),
    [
        ([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]], "unstructured"),
        ([[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]], "fan_in"),
        ([[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]], "1:2"),
        ([[[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]]] * 2, "2:4"),
        ([[1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 0, 1]], "unstructured"),
        ([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 1, 1]], "block:2x1"),
        ([[1, 1, 0], [0, 0, 0], [1, 1, 0], [1, 1, 0]], "channels"),
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]], "unstructured"),
    ],
)
def test_the_most_specific_pattern_is_found(masks, pattern):
    assert Masks({"dense/kernel": masks, "dense_one/kernel": np.ones((5, 7))}).pattern == pattern
    assert Masks({"dense/kernel": masks}).pattern == pattern


def test_masks_that_are_no_kernels_have_no_pattern():
    assert Masks({"a": [1, 0, 1]}).pattern == "unstructured"


def test_layers_and_models_are_sparsified_with_a_pattern(network):
    layer = tost.sparsify(keras.layers.Dense(6, name="dense"), pattern="1:3")
    layer.build((None, 9))
    assert Masks({"dense/kernel": layer.mask.numpy()}).pattern == "1:3"
    with pytest.raises(TostError, match="channels belongs to a whole network"):
        tost.sparsify(keras.layers.Dense(6), sparsity=0.3, pattern="channels").build((None, 9))
    sparse = tost.sparsify(network, sparsity=0.7, mask="magnitude", pattern="fan_in")
    assert masks_of(sparse).pattern == "fan_in"
    with pytest.raises(TostError, match="the pattern 2:4 is for a mask that is found"):
        tost.sparsify(network, masks_of(sparse), pattern="2:4")
    with pytest.raises(TostError, match="takes either masks or a sparsity"):
        tost.sparsify(network, pattern="fan_in")


@pytest.mark.parametrize("pattern", ["1:4", "fan_in"])
def test_rounds_of_a_lottery_ticket_have_the_pattern(network, pattern):
    network = keras.Model(network.get_layer("one").input, network.output)
    images = np.random.default_rng(0).normal(size=(8, 6, 6, 8)).astype(np.float32)
    data = tf.data.Dataset.from_tensors((images, tf.one_hot(tf.range(8) % 4, 4)))
    seen = []

    def compiled(model):
        seen.append(masks_of(model))
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])

    sparsity = {} if pattern == "1:4" else {"sparsity": 0.7}
    masks = tost.masks.lottery(network, data, epochs=1, fraction=0.5, pattern=pattern, compile=compiled, **sparsity)
    assert masks.pattern == pattern
    assert [found.pattern for found in seen] == ["unstructured", "2:4" if pattern == "1:4" else "fan_in"]
    assert seen[1].sparsity == pytest.approx(0.5, abs=0.01)


@dataclasses.dataclass(frozen=True)
class Rows(Pattern):
    """All weights that read an input."""

    form = "rows"

    def divide(self, shape, axes):
        channels = channels_of(shape, axes)
        return Division(shape, channels.order, channels.sizes, units=(1,), weights=(0, 2))


def test_a_pattern_of_ones_own(dense):
    with MASK_PATTERNS.temporarily("rows", Rows):
        masks = tost.masks.from_scores(dense, {"dense/kernel": SCORES}, 0.7, pattern="rows")  # sums 12, 13, 11, 12
        assert masks["dense/kernel"].tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
        both = np.ones((2, 4, 3)) * np.array([1, 0, 0, 1])[:, None]
        assert found_pattern({"conv/kernel": both}).text == "channels"  # which is more specific
