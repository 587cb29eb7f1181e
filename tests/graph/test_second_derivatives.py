"""All that takes a second derivative of a network, against differences of its first gradients."""

import contextlib

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive, quick
from tost_tf.analysis.hessian import MaskedHessian
from tost_tf.compat import keras, tf
from tost_tf.compat.derivatives import bias_gradients_as_sums, exact_moments
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.gradient_scores import grasp_scores, snip_scores
from tost_tf.training.rescale import GradInit

LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)
GENERATOR = np.random.default_rng(5)
IMAGES = GENERATOR.normal(size=(9, 4, 4, 2))
LABELS = np.eye(3)[GENERATOR.integers(0, 3, 9)]


def convolution(*normalise):
    layers = keras.layers
    return [layers.Conv2D(4, 3, use_bias=False), *normalise, layers.Activation("softplus"), layers.Flatten()]


def dense(*normalise):
    layers = keras.layers
    return [layers.Flatten(), layers.Dense(6, use_bias=False), *normalise, layers.Activation("softplus")]


def deep(*normalise):
    """In which what is normalised does not move by a gradient of the kernel before it alone."""
    return [keras.layers.Flatten(), keras.layers.Dense(5, "softplus"), *dense(*normalise)]


def row(*normalise):
    layers = keras.layers
    rows = [layers.Reshape((16, 2)), layers.Conv1D(4, 3, use_bias=False), *normalise, layers.Activation("softplus")]
    return [*rows, layers.GlobalAveragePooling1D()]


def nested():
    return [keras.Sequential([keras.layers.InputLayer((4, 4, 2)), *dense(keras.layers.BatchNormalization())])]


NETWORKS = {
    "convolution, fused": lambda: convolution(keras.layers.BatchNormalization()),
    "convolution": lambda: convolution(keras.layers.BatchNormalization()),
    "channels first": lambda: convolution(keras.layers.BatchNormalization(axis=1)),
    "dense": lambda: dense(keras.layers.BatchNormalization()),
    "row": lambda: row(keras.layers.BatchNormalization()),
    "nested": nested,
    "in groups of three examples": lambda: dense(keras.layers.BatchNormalization(virtual_batch_size=3)),
    "synchronised": lambda: dense(keras.layers.BatchNormalization(synchronized=True)),
    "with a mask": lambda: row(keras.layers.Masking(0.3), keras.layers.BatchNormalization()),
    "LayerNormalization": lambda: deep(keras.layers.LayerNormalization()),
    "LayerNormalization, fused": lambda: deep(keras.layers.LayerNormalization()),
    "GroupNormalization": lambda: convolution(keras.layers.GroupNormalization(2)),
}


def build(name, precision):
    keras.backend.set_floatx(precision)
    model = keras.Sequential([keras.Input((4, 4, 2)), *NETWORKS[name](), keras.layers.Dense(3, name="last")])
    keras.backend.set_floatx("float32")
    return model


# The others compute their variances by the same function.
QUICK = ("convolution, fused", "nested", "LayerNormalization")


@pytest.fixture(params=quick(NETWORKS, QUICK))
def pair(request):
    """A network, and the same in double precision: what is fused exists in single precision only."""
    double = build(request.param, "float64")
    generator = np.random.default_rng(1)
    for variable in double.weights:  # statistics too, which the Hessian is taken with
        variable.assign_add(generator.uniform(0.1, 0.6, variable.shape))
    if "fused" not in request.param:
        return double, double
    single = build(request.param, "float32")
    single.set_weights(double.get_weights())
    return single, double


def batch(model):
    return tf.constant(IMAGES, model.compute_dtype), tf.constant(LABELS, model.compute_dtype)


def tolerance(model):
    """Of the largest value."""
    return 1e-7 if model.compute_dtype == "float64" else 2e-5


def gradients(model, loss, variables, training=True):
    @tf.function
    def first():
        with tf.GradientTape() as tape:
            value = loss(model(batch(model)[0], training=training))
        return tape.gradient(value, variables)

    return lambda: [part.numpy().astype(np.float64) for part in first()]


def derivative(function, variables, direction):
    """Of what `function` gives, a list of arrays, along a direction of the variables, to the fourth order."""
    before = [variable.numpy() for variable in variables]
    size = np.sqrt(sum(np.sum(part**2) for part in direction) / sum(np.sum(value**2) for value in before))
    values, step = {}, 2e-4 / size
    for steps in (-2, -1, 1, 2):
        for variable, value, part in zip(variables, before, direction, strict=True):
            variable.assign(value + steps * step * part)
        values[steps] = function()
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return [(8 * (d - b) - (e - a)) / (12 * step) for a, b, d, e in zip(*values.values(), strict=True)]


def assert_near(found, expected, relative):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=relative * np.abs(other).max())


def test_snip(pair):
    model, double = pair
    found = snip_scores(model, prunable_weights(model), [batch(model)])

    def loss():
        return [LOSS(LABELS, double(IMAGES, training=True)).numpy() * len(IMAGES)]

    for scores, kernel in zip(found.values(), prunable_weights(double).values(), strict=True):
        for place in np.argwhere(np.ones(kernel.shape))[::11]:
            one = np.zeros(kernel.shape)
            one[*place] = kernel.numpy()[*place]
            expected = abs(derivative(loss, [kernel], [one])[0])
            assert scores[*place] == pytest.approx(expected, abs=tolerance(model) * scores.max())


def test_grasp(pair):
    model, double = pair
    kernels = list(prunable_weights(double).values())
    first = gradients(
        double, lambda logits: tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(LABELS, logits / 200)), kernels
    )
    products = derivative(first, kernels, first())
    expected = [product * kernel.numpy() for product, kernel in zip(products, kernels, strict=True)]
    found = grasp_scores(model, prunable_weights(model), [batch(model)])
    assert_near(found.values(), expected, tolerance(model))


def norm_step(model, gamma=0.0):
    """What an iteration of the search for scales gives to Adam."""
    images, labels = batch(model)
    search = GradInit(model, LOSS, gamma=gamma)
    given = []
    search._adam.step = lambda gradient, kind: given.append((gradient, kind))
    search.iterate((images[:4], labels[:4]), (images[4:], labels[4:]), (images, labels))
    (found, kind), *_ = given
    assert kind == "norm"
    return found


def expected_norm_step(double, parameters):
    first = gradients(double, lambda logits: LOSS(LABELS, logits), parameters)

    def norm():
        return [np.sqrt(sum(np.sum(part**2) for part in first()))]

    return np.array([derivative(norm, [parameter], [parameter.numpy()])[0] for parameter in parameters])


def test_norm_step_of_the_rescaled_initialisation(pair):
    model, double = pair
    assert_near([norm_step(model)], [expected_norm_step(double, double.trainable_weights)], tolerance(model))


@pytest.mark.parametrize("neurons", ["pswish", exhaustive("mish")])
def test_norm_step_with_ghosts(neurons):
    layers = keras.layers
    keras.backend.set_floatx("float64")
    blocks = [[layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()] for _ in range(2)]
    model = keras.Sequential([keras.Input((4, 4, 2)), *blocks[0], *blocks[1], layers.Flatten(), layers.Dense(3)])
    ghosted = tost.GhostModel(model, neurons, "projection", beta=1.3)
    keras.backend.set_floatx("float32")
    assert len(ghosted.ghosts) == 3
    for variable in model.trainable_weights:
        variable.assign_add(tf.random.uniform(variable.shape, 0.1, 0.6, variable.dtype))
    assert_near([norm_step(ghosted)], [expected_norm_step(ghosted, model.trainable_weights)], 1e-7)


def test_hessian(pair):
    model, double = pair
    hessian = MaskedHessian(model, *(tensor.numpy() for tensor in batch(model)), micro_batch=9)
    vector = np.random.default_rng(3).normal(size=hessian.weights.size)
    variables = double.trainable_weights
    first = gradients(double, lambda logits: LOSS(LABELS, logits), variables, training=False)
    expected = hessian.weights.flat(derivative(first, variables, hessian.weights.parts(vector)))
    assert_near([hessian.product(vector)], [expected], tolerance(model))


class Held(keras.layers.Layer):
    """Gives what it gets less a part whose gradient is held back."""

    def call(self, x):
        return x - tf.stop_gradient(x**2)


class HeldInACall(keras.layers.Layer):
    @tf.function
    def held(self, x):
        return x - tf.stop_gradient(x**2)

    def call(self, x):
        return self.held(x)


class HeldElsewhere(keras.layers.Layer):
    """Holds back what does not depend on any weight, and has a logarithm of a sum of exponentials."""

    def call(self, x):
        constant = tf.stop_gradient(tf.random.normal((3,)) ** 2)
        return x * constant - tf.reduce_logsumexp(x, -1, keepdims=True)


def hessian_product(model, images, labels):
    hessian = MaskedHessian(model, images.numpy(), labels.numpy())
    return hessian.product(np.ones(hessian.weights.size))


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (lambda: keras.layers.BatchNormalization(renorm=True), "stops gradients .*renorm_r"),
        (Held, "stops gradients .*mine/held/StopGradient"),
        (HeldInACall, "stops gradients .*forward_held.*StopGradient"),
        (lambda: keras.layers.UpSampling2D(2), "has an operation without a second .*ResizeNearestNeighborGrad"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_sentence(layer, what):
    stack = [keras.layers.Conv2D(2, 3, name="a"), layer(), keras.layers.Conv2D(3, 2), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((5, 5, 2)), *stack, keras.layers.Dense(3)], name="mine")
    images, labels = tf.random.normal((4, 5, 5, 2)), tf.constant(LABELS[:4], tf.float32)
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(TostError, match=f"^mine {what}.*GraSP.*$") as raised:
        tost.masks.grasp(model, [(images, labels)], sparsity=0.5)
    assert "\n" not in str(raised.value)
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, model.variables, strict=True))
    with pytest.raises(TostError, match=what):
        GradInit(model, LOSS, gamma=0.0).iterate(*[(images, labels)] * 3)
    if "renorm" not in what:  # it is not at work in inference mode
        with pytest.raises(TostError, match=what):
            hessian_product(model, images, labels)


class InACall(keras.layers.Layer):
    """Normalisation that is fused, whose derivatives hold something back rightly, in a graph of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.normalise, self.pool = keras.layers.BatchNormalization(), keras.layers.AveragePooling2D(2)

    @tf.function
    def call(self, x, training=None):
        return self.pool(tf.tanh(self.normalise(x, training=training)))


@pytest.mark.parametrize("layer", [HeldElsewhere, InACall])
def test_gradients_stopped_elsewhere_do_no_harm(layer):
    stack = [keras.layers.Conv2D(3, 2), layer(), keras.layers.Conv2D(2, 1), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((5, 5, 2)), *stack, keras.layers.Dense(3)])
    data = (tf.random.normal((4, 5, 5, 2)), tf.constant(LABELS[:4], tf.float32))
    tost.masks.grasp(model, [data], sparsity=0.5)
    hessian_product(model, *data)


def test_moments_have_the_values_of_tensorflow_and_are_restored():
    x = tf.constant(IMAGES)
    for axes, keepdims in (([0, 1, 2], False), ([0, 3], True)):
        expected = tf.nn.moments(x, axes, keepdims=keepdims)
        with exact_moments():
            found = tf.nn.moments(x, axes, keepdims=keepdims)
            with tf.GradientTape() as outer, tf.GradientTape() as inner:
                inner.watch(x)
                outer.watch(x)
                variance = tf.reduce_sum(tf.nn.moments(x, [0, 1, 2, 3])[1])
            slope = inner.gradient(variance, x)
            assert slope.dtype == tf.float64
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    half = tf.cast(x, tf.float16)
    with exact_moments():
        assert [part.dtype for part in tf.nn.moments(half, [0])] == [tf.float16] * 2
    graph = tf.function(lambda: tf.nn.moments(x, [0])).get_concrete_function().graph
    assert any(operation.type == "StopGradient" for operation in graph.get_operations())


def test_gradients_of_biases_are_sums_and_the_same():
    """TensorFlow's own operation for them is merged with another by oneDNN, now and then into a circle."""
    layer = keras.layers.Conv2D(3, 2)
    layer.build((None, 4, 4, 2))
    images = tf.constant(IMAGES, tf.float32)

    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(images) ** 3)
        return tape.gradient(loss, layer.bias)

    operations = {}
    for name, block in (("plain", contextlib.nullcontext()), ("sums", bias_gradients_as_sums())):
        with block:
            traced = tf.function(gradient).get_concrete_function()
        operations[name] = {operation.type for operation in traced.graph.get_operations()}
        np.testing.assert_allclose(traced(), gradient(), rtol=1e-5)
    assert "BiasAddGrad" in operations["plain"] and "BiasAddGrad" not in operations["sums"]
