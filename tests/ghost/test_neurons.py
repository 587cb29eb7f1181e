import numpy as np
import pytest

from tost_tf.compat import tf
from tost_tf.ghost.neurons import mish, pswish

X = np.linspace(-6, 6, 121)
BETAS = (0.5, 1.0, 3.0, 20.0, 100.0)


def sigmoid(z):
    return np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def pswish_numpy(x, beta):
    gate = sigmoid(beta * x)
    return x * gate, gate + beta * x * gate * (1 - gate)


def mish_numpy(x, beta):
    t = np.tanh(softplus(beta * x))
    return x * t, t + x * (1 - t**2) * beta * sigmoid(beta * x)


CASES = [(pswish, pswish_numpy), (mish, mish_numpy)]


@pytest.mark.parametrize(("function", "reference"), CASES)
@pytest.mark.parametrize("beta", BETAS)
def test_values_and_derivatives(function, reference, beta):
    x = tf.constant(X, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x, tf.constant(beta, tf.float64))
    values, derivatives = reference(X, beta)
    np.testing.assert_allclose(y, values, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(tape.gradient(y, x), derivatives, rtol=1e-11, atol=1e-13)


def test_pswish_in_bfloat16_is_exact_but_for_the_last_rounding():
    x, beta = tf.cast(X, tf.bfloat16), tf.Variable(1.75, dtype=tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = pswish(x, beta)
    by_x, by_beta = tape.gradient(y, [x, beta])
    assert y.dtype == by_x.dtype == by_beta.dtype == tf.bfloat16
    given = x.numpy().astype(np.float64)
    values, derivatives = pswish_numpy(given, 1.75)
    for found, expected in ((y, values), (by_x, derivatives)):
        np.testing.assert_allclose(tf.cast(found, tf.float64), expected, rtol=2**-8, atol=1e-6)
    gate = sigmoid(1.75 * given)
    assert float(by_beta) == pytest.approx(np.sum(given**2 * gate * (1 - gate)), rel=2**-7)


@pytest.mark.parametrize(("function", "reference"), CASES)
def test_second_derivatives(function, reference):
    x = tf.constant(X, tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x, tf.constant(1.7, tf.float64))
        first = inner.gradient(y, x)
    step = 1e-6
    expected = (reference(X + step, 1.7)[1] - reference(X - step, 1.7)[1]) / (2 * step)
    np.testing.assert_allclose(outer.gradient(first, x), expected, atol=1e-8)


@pytest.mark.parametrize(("function", "reference"), CASES)
@pytest.mark.parametrize("compiled", [False, True])
def test_beta_may_be_a_variable_and_is_trained_then(function, reference, compiled):
    x, beta = tf.constant(X, tf.float64), tf.Variable(1.7, dtype=tf.float64)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x, beta)
            loss = tf.reduce_sum(y * tf.constant(np.cos(X)))
        return y, tape.gradient(loss, [x, beta])

    y, (by_x, by_beta) = (tf.function(gradients) if compiled else gradients)()
    values, derivatives = reference(X, 1.7)
    np.testing.assert_allclose(y, values, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(by_x, derivatives * np.cos(X), rtol=1e-11, atol=1e-13)
    step = 1e-6
    change = (reference(X, 1.7 + step)[0] - reference(X, 1.7 - step)[0]) / (2 * step)
    assert by_beta.numpy() == pytest.approx(np.sum(change * np.cos(X)), rel=1e-7)


@pytest.mark.parametrize("function", [pswish, mish])
def test_beta_may_be_a_number(function):
    x = tf.constant(X, tf.float64)
    np.testing.assert_array_equal(function(x, 0.3), function(x, tf.constant(0.3, tf.float64)))


@pytest.mark.parametrize("function", [pswish, mish])
@pytest.mark.parametrize("dtype", [tf.float16, tf.float32])
@pytest.mark.parametrize("beta", BETAS)
def test_large_inputs_give_no_nan(function, dtype, beta):
    """In float16 βx may be infinite; a network whose βx is in float32 is lost anyway."""
    largest = dtype.max / 2 if dtype == tf.float16 else dtype.max / 2 / max(beta, 1)
    x = tf.constant([-largest, -3000.0, 0.0, 3000.0, largest], dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x, tf.constant(beta, dtype))
    np.testing.assert_allclose(y, np.maximum(x, 0), rtol=1e-3)
    slopes = tape.gradient(y, x).numpy()
    np.testing.assert_allclose(slopes[[0, 1, 3, 4]], [0, 0, 1, 1], atol=1e-3)


@pytest.mark.parametrize("function", [pswish, mish])
def test_they_become_relu_as_beta_grows(function):
    distances = [np.abs(function(tf.constant(X), tf.constant(beta, tf.float64)) - np.maximum(X, 0)) for beta in BETAS]
    for near, far in zip(distances[1:], distances, strict=False):
        assert np.all(near <= far + 1e-12)
    assert distances[-1].max() < 0.01


def test_named_special_cases():
    x = tf.constant(X)
    np.testing.assert_allclose(pswish(x, tf.constant(0.0, tf.float64)), X / 2)
    np.testing.assert_allclose(pswish(x, tf.constant(1.0, tf.float64)), tf.nn.silu(x))
    np.testing.assert_allclose(mish(tf.constant([1.0]), tf.constant(1.0)), [0.86509838], rtol=1e-6)  # Misra 2019


def test_distance_from_relu_at_the_last_beta():
    # Recipe says so: 0.2785 / β.
    x = np.linspace(-1, 1, 200001)
    distance = np.abs(pswish(tf.constant(x), tf.constant(20.0, tf.float64)) - np.maximum(x, 0)).max()
    assert distance == pytest.approx(0.2785 / 20, rel=1e-3)
