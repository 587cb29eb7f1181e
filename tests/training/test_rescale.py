"""One iteration of each kind against finite differences in NumPy, and what must hold whatever the scales are."""

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.training.rescale import GradInit

GENERATOR = np.random.default_rng(8)
ORIGINAL = [GENERATOR.normal(size=shape) for shape in ((4, 6), (6,), (6, 3), (3,))]
MASKS = [GENERATOR.integers(0, 2, (4, 6)), np.ones(6), GENERATOR.integers(0, 2, (6, 3)), np.ones(3)]
ORIGINAL = [weight * mask for weight, mask in zip(ORIGINAL, MASKS, strict=True)]
ORIGINAL[3] = np.zeros(3)
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def half(size):
    return GENERATOR.normal(size=(size, 4)), np.eye(3)[GENERATOR.integers(0, 3, size)]


HALVES = [half(5), half(5), half(5)]


def mean_loss(weights, x, y):
    first, bias, second, last = weights
    logits = np.log1p(np.exp(x @ first + bias)) @ second + last
    return -np.mean(np.sum(y * (logits - np.log(np.exp(logits).sum(1, keepdims=True))), axis=1))


def masked_gradient(weights, x, y, step=1e-6):
    gradients = []
    for position, weight in enumerate(weights):
        gradient = np.zeros_like(weight)
        for index in np.ndindex(weight.shape):
            values = []
            for sign in (1, -1):
                changed = [value.copy() for value in weights]
                changed[position][index] += sign * step
                values.append(mean_loss(changed, x, y))
            gradient[index] = (values[0] - values[1]) / (2 * step)
        gradients.append(gradient * MASKS[position])
    return gradients


def norm(gradients):
    return np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))


def joined(one, other):
    return np.concatenate([HALVES[one][0], HALVES[other][0]]), np.concatenate([HALVES[one][1], HALVES[other][1]])


def scaled(scales):
    return [weight * scale for weight, scale in zip(ORIGINAL, scales, strict=True)]


def derivative(function):
    """Of a function of the four scales, at 1."""
    result = []
    for position in range(4):
        values = []
        for sign in (1, -1):
            scales = np.ones(4)
            scales[position] += sign * 1e-4
            values.append(function(scales))
        result.append((values[0] - values[1]) / 2e-4)
    return np.array(result)


@pytest.fixture
def sparse():
    keras.backend.set_floatx("float64")
    layers = [keras.layers.Dense(6, "softplus", name="a", input_shape=(4,)), keras.layers.Dense(3, name="b")]
    model = keras.Sequential(layers)
    model.set_weights(ORIGINAL)
    masked = tost.sparsify(model, tost.Masks({"a/kernel": MASKS[0], "b/kernel": MASKS[2]}))
    keras.backend.set_floatx("float32")
    return masked


def recorded(search, halves=HALVES):
    """The gradients of the scales that an iteration gives to Adam, and what the iteration was."""
    seen = []
    search._adam.step = lambda gradient, kind: seen.append((gradient, kind))
    done = search.iterate(*[tuple(map(tf.constant, pair)) for pair in halves])
    return seen[0][0], done


def test_norm_step_against_finite_differences(sparse):
    gradient, done = recorded(GradInit(sparse, LOSS, gamma=0.01))
    assert done.kind == "norm"
    assert done.loss == pytest.approx(mean_loss(ORIGINAL, *joined(0, 1)), rel=1e-7)
    assert done.gradient_norm == pytest.approx(norm(masked_gradient(ORIGINAL, *joined(0, 1))), rel=1e-6)
    expected = derivative(lambda scales: norm(masked_gradient(scaled(scales), *joined(0, 1))))
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)
    assert gradient[3] == 0  # all zero


@pytest.mark.parametrize("normalise", [True, False])
def test_loss_step_against_finite_differences(sparse, normalise):
    gradient, done = recorded(GradInit(sparse, LOSS, eta=0.3, gamma=100.0, normalise=normalise))
    assert done.kind == "loss"
    first = masked_gradient(ORIGINAL, *joined(0, 1))
    length = 0.3 / norm(first) if normalise else 0.3
    moved = [length * part for part in first]  # a constant: it does not change with the scales

    def after_step(scales):
        weights = [weight - step for weight, step in zip(scaled(scales), moved, strict=True)]
        return mean_loss(weights, *joined(0, 2)) / 0.3

    expected = derivative(after_step)
    expected[3] = 0
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


def test_parameters_are_the_original_ones_times_their_scale(sparse):
    search = GradInit(sparse, LOSS, gamma=0.5)
    kinds = {search.iterate(*[tuple(map(tf.constant, pair)) for pair in HALVES]).kind for _ in range(40)}
    assert kinds == {"norm", "loss"}
    assert search.scales[3] == 1 and np.all(search.scales[:3] != 1)
    for parameter, original, scale in zip(sparse.trainable_weights, ORIGINAL, search.scales, strict=True):
        np.testing.assert_array_equal(parameter, original * scale)


def test_first_step_lowers_the_loss_more_after_rescaling(small_model, small_images):
    dataset = tf.data.Dataset.from_tensor_slices(small_images).batch(10)
    sparse = tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.5))
    statistics = [weight.numpy() for weight in sparse.non_trainable_weights]
    zeros = {path: weight.numpy() == 0 for path, weight in prunable_weights(sparse).items()}

    def loss_after_a_step():
        with tf.GradientTape() as tape:
            value = LOSS(small_images[1], sparse(small_images[0], training=True))
        gradients = tape.gradient(value, sparse.trainable_weights)
        before = [weight.numpy() for weight in sparse.trainable_weights]
        for weight, gradient in zip(sparse.trainable_weights, gradients, strict=True):
            weight.assign_sub(0.1 * gradient / tf.linalg.global_norm(gradients))
        after = float(LOSS(small_images[1], sparse(small_images[0], training=True)))
        for weight, value in zip(sparse.trainable_weights, before, strict=True):
            weight.assign(value)
        return after

    before = loss_after_a_step()
    for weight, value in zip(sparse.non_trainable_weights, statistics, strict=True):
        weight.assign(value)
    scales = tost.rescale_init(sparse, dataset, steps=40)
    for weight, value in zip(sparse.non_trainable_weights, statistics, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert loss_after_a_step() < before
    for path, weight in prunable_weights(sparse).items():
        np.testing.assert_array_equal(weight.numpy() == 0, zeros[path])
    assert len(scales) == len(sparse.trainable_weights) and min(scales.values()) >= 0


def test_a_kernel_before_batch_normalization_can_be_scaled_without_changing_the_loss(small_model, small_images):
    logits = small_model(small_images[0], training=True).numpy()
    kernel = small_model.get_layer("conv1").kernel
    kernel.assign(3.7 * kernel)
    np.testing.assert_allclose(small_model(small_images[0], training=True), logits, rtol=1e-2, atol=1e-3)
    search = GradInit(small_model, LOSS, gamma=1e9)
    gradient, _ = recorded(search, [tuple(map(np.asarray, small_images))] * 3)
    position = next(index for index, name in enumerate(search.names) if name == "conv1/kernel")
    assert abs(gradient[position]) < 0.02 * np.abs(gradient).max()


def test_ghosts_are_there_and_are_not_scaled(small_model, small_images):
    ghosted = tost.GhostModel(
        tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.5)), skips="projection"
    )
    own = {id(weight) for weight in ghosted.plain.trainable_weights}
    ghosts = [(weight, weight.numpy()) for weight in ghosted.trainable_weights if id(weight) not in own]
    dataset = tf.data.Dataset.from_tensor_slices(small_images).batch(10)
    search = GradInit(ghosted, LOSS)
    batch = tuple(map(tf.constant, small_images))
    expected = LOSS(small_images[1], ghosted.ghosted(small_images[0], training=True))
    assert search.iterate(batch, batch, batch).loss == pytest.approx(float(expected), rel=1e-5)
    scales = tost.rescale_init(ghosted, dataset, steps=4)
    assert len(scales) == len(ghosted.plain.trainable_weights) and len(ghosts) == 6
    for weight, value in ghosts:
        np.testing.assert_array_equal(weight, value)


def test_bad_requests_are_refused(small_model, small_images):
    dataset = tf.data.Dataset.from_tensor_slices(small_images).batch(10)
    with pytest.raises(TostError, match="steps is 0"):
        tost.rescale_init(small_model, dataset, steps=0)
    before = small_model.get_weights()
    for wrong in ({"eta": 0}, {"eta": -1}, {"gamma": -0.5}, {"learning_rate": float("nan")}):
        with pytest.raises(TostError, match=f"{next(iter(wrong))} is .*, it must be"):
            tost.rescale_init(small_model, dataset, steps=1, **wrong)
    with pytest.raises(TostError, match="is not finite|gives loss"):
        tost.rescale_init(small_model, dataset, steps=4, learning_rate=1e38)  # the first step is fine
    for one, other in zip(small_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(TostError, match="is empty"):
        tost.rescale_init(small_model, [], steps=3)
    bad = tf.data.Dataset.from_tensor_slices((np.full_like(small_images[0], np.nan), small_images[1])).batch(10)
    with pytest.raises(TostError, match="gives loss nan, because of the images"):
        tost.rescale_init(small_model, bad, steps=3)


def test_a_parameter_or_layer_that_is_not_finite_is_named(small_model, small_images):
    batches = [small_images] * 3
    small_model.get_layer("bn1").gamma.assign([1.0, 2.0, np.nan, 0.3, 0.7])
    with pytest.raises(TostError, match="gives loss nan, because of the weight bn1/gamma$"):
        tost.rescale_init(small_model, batches, steps=1)
    small_model.get_layer("bn1").gamma.assign(tf.ones(5))
    kernel = small_model.get_layer("shortcut").kernel
    kernel.assign(tf.fill(kernel.shape, 3e38))
    ghosted = tost.GhostModel(tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.2)))
    with pytest.raises(TostError, match="gives loss nan, because of the output of the layer shortcut$"):
        tost.rescale_init(ghosted, batches, steps=1)


@pytest.mark.parametrize(
    ("rooted", "gamma", "what"),
    [
        (tf.sqrt, 1.0, "a gradient by a/kernel is not finite"),
        # The first derivative at zero is finite, the second is not.
        (lambda x: tf.abs(x) ** 1.5, 0.0, "a gradient of the gradient norm by a/kernel is not finite"),
    ],
)
def test_a_gradient_that_is_not_finite_at_a_finite_loss_is_named(rooted, gamma, what):
    layers = keras.layers
    stack = [layers.Dense(3, name="b0"), layers.Dense(4, use_bias=False, name="a"), layers.Activation(rooted)]
    model = keras.Sequential([keras.Input((2,)), *stack, layers.Dense(3, name="b")])
    model.get_layer("a").kernel.assign(tf.zeros((3, 4)))
    search = GradInit(model, LOSS, gamma=gamma)
    halves = [(tf.ones((4, 2)), tf.one_hot([0, 1, 2, 0], 3))] * 3
    with pytest.raises(TostError, match=rf"^rescaling the initialisation: {what} \(loss 1\.\d+\)$"):
        search.iterate(*halves)


def test_a_loss_that_is_not_finite_after_the_step_stops_the_search_and_the_parameters_are_put_back(sparse):
    search = GradInit(sparse, LOSS, eta=1e308, gamma=1e9)
    with pytest.raises(TostError, match=r"gives loss (nan|inf), because of the (weight|output of the layer) [ab]"):
        search.iterate(*[tuple(map(tf.constant, pair)) for pair in HALVES])
    for parameter, original in zip(sparse.trainable_weights, ORIGINAL, strict=True):
        np.testing.assert_array_equal(parameter, original)


@pytest.mark.parametrize("with_ghosts", [exhaustive(False), True])
def test_dropout_is_off_and_batches_are_normalised_by_themselves(small_images, with_ghosts):
    """The scales are those of the same network without dropout, in which statistics have been set to nonsense."""

    def network(*noise):
        layers = keras.layers
        inner = keras.Sequential([keras.Input((6, 6, 3)), *noise, layers.Conv2D(2, 3, name="b")], name="inner")
        image = keras.Input((6, 6, 2))
        x = layers.BatchNormalization(name="bn")(layers.Conv2D(3, 3, padding="same", name="a")(image))
        for layer in noise:
            x = type(layer).from_config(layer.get_config())(x)
        model = keras.Model(image, layers.Dense(4, name="c")(layers.Flatten()(inner(x))))
        generator = np.random.default_rng(6)
        model.set_weights([generator.normal(1, 0.4, weight.shape) for weight in model.get_weights()])
        sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.2))
        return tost.GhostModel(sparse) if with_ghosts else sparse

    batches = [tuple(part[i : i + 10] for part in small_images) for i in (0, 10, 5)]
    expected = tost.rescale_init(network(), batches, steps=4)
    noisy = network(keras.layers.SpatialDropout2D(0.4), keras.layers.GaussianNoise(0.6))
    assert tost.rescale_init(noisy, batches, steps=4) == pytest.approx(expected, rel=1e-6)
    # Afterwards there is noise again.
    one, other = (noisy(small_images[0], training=True).numpy() for _ in range(2))
    assert np.abs(one - other).max() > 0.01


def test_scales_have_the_paths_of_masks(small_model, small_images):
    masks = tost.masks.random(small_model, sparsity=0.3)
    for model in (small_model, tost.sparsify(small_model, masks), tost.GhostModel(tost.sparsify(small_model, masks))):
        scales = tost.rescale_init(model, [small_images] * 3, steps=1)
        assert [path for path in scales if path.endswith("kernel")] == list(masks)
        assert list(scales)[:3] == ["stem/kernel", "stem_bn/gamma", "stem_bn/beta"] and "logits/bias" in scales


def test_nested_models_with_the_same_names_have_a_scale_each(small_images):
    def block(name):
        return keras.Sequential([keras.layers.Conv2D(2, 3, name="conv", input_shape=(None, None, 2))], name=name)

    image = keras.Input((6, 6, 2))
    flat = keras.layers.Flatten()(block("two")(block("one")(image)))
    scales = tost.rescale_init(keras.Model(image, keras.layers.Dense(4)(flat)), [small_images] * 3, steps=2)
    names = ["one/conv/kernel", "one/conv/bias", "two/conv/kernel", "two/conv/bias"]
    assert list(scales)[:4] == names and len(scales) == 6


def test_a_table_of_embeddings_is_rescaled_too():
    tokens = keras.Input((5,), dtype="int32")
    x = keras.layers.Conv1D(3, 2, activation="relu")(keras.layers.Embedding(11, 4, name="table")(tokens))
    model = keras.Model(tokens, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(x)))
    generator = np.random.default_rng(0)
    batches = [(generator.integers(0, 11, (6, 5)), np.eye(2, dtype=np.float32)[np.arange(6) % 2]) for _ in range(3)]
    scales = tost.rescale_init(model, batches, steps=2)
    assert "table/embeddings" in scales and scales["table/embeddings"] != 1
