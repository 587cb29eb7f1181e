import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.gradient_scores import grasp_scores, snip_scores

GENERATOR = np.random.default_rng(11)
X = GENERATOR.normal(size=(12, 3)).astype(np.float64)
Y = np.eye(4)[GENERATOR.integers(0, 4, 12)]
WEIGHTS = [GENERATOR.normal(size=shape) for shape in ((3, 5), (5,), (5, 4), (4,))]


def softplus(z):
    return np.log1p(np.exp(z))


def summed_loss(weights, x, y, temperature=1.0):
    """The sum of the examples' cross-entropies of a network with one hidden layer, in NumPy."""
    first, bias, second, last = weights
    logits = (softplus(x @ first + bias) @ second + last) / temperature
    return -np.sum(y * (logits - np.log(np.exp(logits).sum(1, keepdims=True))))


def gradient(function, at, step=1e-5):
    result = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        high, low = at.copy(), at.copy()
        high[index] += step
        low[index] -= step
        result[index] = (function(high) - function(low)) / (2 * step)
    return result


def kernel_gradients(weights, temperature=1.0, x=X, y=Y):
    first = gradient(lambda value: summed_loss([value, *weights[1:]], x, y, temperature), weights[0])
    second = gradient(lambda value: summed_loss([*weights[:2], value, weights[3]], x, y, temperature), weights[2])
    return first, second


@pytest.fixture
def model():
    keras.backend.set_floatx("float64")
    network = keras.Sequential(
        [keras.layers.Dense(5, "softplus", name="a", input_shape=(3,)), keras.layers.Dense(4, name="b")]
    )
    network.set_weights(WEIGHTS)
    keras.backend.set_floatx("float32")
    return network


def batches(size, x=X, y=Y):
    return [(tf.constant(x[i : i + size]), tf.constant(y[i : i + size])) for i in range(0, len(x), size)]


def test_snip_against_finite_differences(model):
    found = snip_scores(model, prunable_weights(model), batches(12))
    first, second = kernel_gradients(WEIGHTS)
    np.testing.assert_allclose(found["a/kernel"], np.abs(first * WEIGHTS[0]), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found["b/kernel"], np.abs(second * WEIGHTS[2]), rtol=1e-6, atol=1e-8)


def test_snip_is_the_change_of_loss_under_a_small_relative_change(model):
    found = snip_scores(model, prunable_weights(model), batches(12))["a/kernel"]
    for index in ((0, 1), (2, 4)):
        changed = WEIGHTS[0].copy()
        changed[index] *= 1 + 1e-6
        change = summed_loss([changed, *WEIGHTS[1:]], X, Y) - summed_loss(WEIGHTS, X, Y)
        assert found[index] == pytest.approx(abs(change) / 1e-6, rel=1e-4)


def test_grasp_is_the_product_with_the_hessian(model):
    """θ·Hg with Hg = (∇L(θ + εg) - ∇L(θ - εg)) / 2ε along the kernels' gradient g."""
    found = grasp_scores(model, prunable_weights(model), batches(12))
    g = kernel_gradients(WEIGHTS, 200.0)
    step = 1e-3 / max(np.abs(part).max() for part in g)
    high, low = (
        kernel_gradients(
            [WEIGHTS[0] + sign * step * g[0], WEIGHTS[1], WEIGHTS[2] + sign * step * g[1], WEIGHTS[3]], 200.0
        )
        for sign in (1, -1)
    )
    for path, weight, up, down in zip(("a/kernel", "b/kernel"), (WEIGHTS[0], WEIGHTS[2]), high, low, strict=True):
        expected = weight * (up - down) / (2 * step)
        np.testing.assert_allclose(found[path], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
        assert (found[path] < 0).any() and (found[path] > 0).any()


@pytest.mark.parametrize("scores", [snip_scores, grasp_scores])
def test_division_into_batches_does_not_matter(model, scores):
    whole, parts = (scores(model, prunable_weights(model), batches(size)) for size in (12, 5))
    for path in whole:
        np.testing.assert_allclose(parts[path], whole[path], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("find", [tost.masks.snip, exhaustive(tost.masks.grasp)])
def test_masks_on_a_network_with_batch_normalization(small_model, small_images, find):
    before = [weight.copy() for weight in small_model.get_weights()]
    dataset = tf.data.Dataset.from_tensor_slices(small_images).batch(8)
    masks = find(small_model, dataset, sparsity=0.9)
    assert masks.kept == round(0.1 * masks.size)
    for weight, old in zip(small_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)  # statistics too
    again = find(small_model, dataset, sparsity=0.9)
    assert all(np.array_equal(masks[path], again[path]) for path in masks)
    denser = find(small_model, dataset, sparsity=0.6)
    assert all(np.all(masks[path] <= denser[path]) for path in masks)


def test_snip_with_batch_normalization_uses_the_statistics_of_the_batch(small_model, small_images):
    for weight in small_model.non_trainable_weights:
        weight.assign(tf.fill(weight.shape, 3.7))
    dataset = [tuple(map(tf.constant, small_images))]
    found = snip_scores(small_model, prunable_weights(small_model), dataset)["conv1/kernel"]
    with tf.GradientTape() as tape:
        logits = small_model(small_images[0], training=True)
        loss = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(small_images[1], logits))
    kernel = small_model.get_layer("conv1").kernel
    np.testing.assert_allclose(found, np.abs(tape.gradient(loss, kernel) * kernel), rtol=1e-4, atol=1e-6)


def test_grasp_keeps_the_largest_and_weights_pruned_before_stay_pruned(small_model, small_images):
    dataset = tf.data.Dataset.from_tensor_slices(small_images).batch(20)
    first = tost.masks.random(small_model, sparsity=0.5)
    sparse = tost.sparsify(small_model, first)
    masks = tost.masks.grasp(sparse, dataset, sparsity=0.55)
    assert all(np.all(masks[path] <= first[path]) for path in masks)
    found = grasp_scores(sparse, prunable_weights(sparse), list(dataset))
    everything = np.concatenate([found[path][first[path] == 1] for path in masks])
    kept = np.concatenate([found[path][masks[path] == 1] for path in masks])
    assert kept.min() < 0  # many scores are negative, and a pruned weight's score of 0 must not win over them
    np.testing.assert_array_equal(np.sort(everything)[-masks.kept :], np.sort(kept))


def test_more_weights_than_are_left_cannot_be_kept(small_model):
    sparse = tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.5))
    with pytest.raises(TostError, match="weights cannot be kept: only 13"):
        tost.masks.magnitude(sparse, sparsity=0.3)


def test_bad_input_is_named(small_model, small_images):
    images = small_images[0].copy()
    images[17] = np.nan
    dataset = tf.data.Dataset.from_tensor_slices((images, small_images[1])).batch(8)
    with pytest.raises(TostError, match=r"the score of stem/kernel is not finite everywhere in batch 3 \(SNIP\)"):
        tost.masks.snip(small_model, dataset, sparsity=0.5)
    with pytest.raises(TostError, match=r"4 batches are needed to find the mask, the dataset gave 3"):
        tost.masks.grasp(small_model, dataset, sparsity=0.5, batches=4)
    with pytest.raises(TostError, match="some batches are needed to find the mask, the dataset gave 0"):
        tost.masks.snip(small_model, [], sparsity=0.5)


@pytest.mark.parametrize("find", [tost.masks.snip, tost.masks.grasp])
def test_the_layer_a_score_is_not_finite_because_of_is_named(small_model, small_images, find):
    dataset = [tuple(map(tf.constant, small_images))]
    small_model.get_layer("conv2").depthwise_kernel.assign(tf.fill((3, 3, 5, 1), np.nan))
    with pytest.raises(TostError, match=r"in batch 1 \(.*\), because of the weight conv2/depthwise_kernel: it cannot"):
        find(small_model, dataset, sparsity=0.5)
    small_model.get_layer("conv2").depthwise_kernel.assign(tf.fill((3, 3, 5, 1), 3e38))
    with pytest.raises(TostError, match=r"in batch 1 \(.*\), because of the output of the layer conv2: it cannot"):
        find(small_model, dataset, sparsity=0.5)


@pytest.mark.parametrize(
    ("find", "function", "place"),
    [
        (tost.masks.snip, tf.sqrt, "SNIP"),
        # The first derivative at zero is finite, the second is not.
        (tost.masks.grasp, lambda x: tf.abs(x) ** 1.5, "GraSP, second pass"),
    ],
)
def test_a_gradient_that_is_not_finite_is_named_where_it_starts(find, function, place):
    layers = keras.layers
    stack = [layers.Dense(3, name="first"), layers.Dense(4, name="second"), layers.Activation(function)]
    network = keras.Sequential([keras.Input((2,)), *stack, layers.Dense(3, name="third")])
    network.get_layer("second").kernel.assign(tf.zeros((3, 4)))
    with pytest.raises(
        TostError, match=rf"the score of second/kernel is not finite everywhere in batch 1 \({place}\):"
    ):
        find(network, [(tf.ones((4, 2)), tf.one_hot([0, 1, 2, 0], 3))], sparsity=0.3)


def test_batches_that_cannot_be(small_model, small_images):
    images, labels = small_images
    for wrong, message in ((-1, "batches is -1, it must be at least 1"), (0, "batches is 0"), (1.5, "a whole number")):
        with pytest.raises(TostError, match=message):
            tost.masks.snip(small_model, small_images, sparsity=0.5, batches=wrong)
    with pytest.raises(TostError, match="there are 20 inputs and 3 labels: give one label for each input"):
        tost.masks.snip(small_model, (images, labels[:3]), sparsity=0.5)
