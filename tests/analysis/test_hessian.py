"""Against the exact Hessian of a network of a few hundred weights."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.analysis.hessian import MaskedHessian, top_eigenvalues
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError


@pytest.fixture(params=["plain", "pswish"])
def problem(request):
    """A sparse network with BatchNormalization and 12 examples; with ghosts it is the ghosted view in use."""
    layers = keras.layers
    image = keras.Input((5, 5, 2))
    x = layers.Conv2D(4, 3, padding="same", name="a")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="bn")(x))
    x = layers.ReLU()(layers.Conv2D(4, 3, name="b")(x))
    model = keras.Model(image, layers.Dense(3, name="c")(layers.GlobalAveragePooling2D()(x)))
    generator = np.random.default_rng(0)
    model.get_layer("bn").set_weights([generator.uniform(0.5, 1.5, 4) for _ in range(4)])
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.4))
    if request.param == "pswish":
        sparse = tost.GhostModel(sparse, "pswish", "none")
    images = generator.normal(size=(12, 5, 5, 2)).astype(np.float32)
    return sparse, images, np.eye(3, dtype=np.float32)[generator.integers(0, 3, 12)]


def exact(hessian, model, images, labels):
    """The whole matrix, reverse over reverse, rows and columns of pruned weights zero."""
    variables = hessian.weights.variables
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, model(images, training=False)))
        gradients = inner.gradient(loss, variables)
        flat = tf.concat([tf.reshape(gradient, (-1,)) for gradient in gradients], 0)
    rows = outer.jacobian(flat, variables)
    matrix = np.concatenate([row.numpy().reshape(flat.shape[0], -1) for row in rows], 1).astype(np.float64)
    kept = np.concatenate([mask.ravel() for mask in hessian.weights.masks])
    return matrix * kept[:, None] * kept[None, :]


def test_products_and_eigenvalues_are_those_of_the_exact_hessian(problem):
    model, images, labels = problem
    hessian = MaskedHessian(model, images, labels, micro_batch=5)
    matrix = exact(hessian, model, images, labels)
    assert 200 < hessian.weights.size < 1000
    vector = np.random.default_rng(3).normal(size=hessian.weights.size)
    np.testing.assert_allclose(hessian.product(vector), matrix @ vector, atol=2e-5 * np.abs(matrix @ vector).max())
    expected = np.sort(np.linalg.eigvalsh((matrix + matrix.T) / 2))[::-1]
    rows, top = top_eigenvalues(hessian, count=4, iterations=60)
    assert [row["index"] for row in rows] == [1, 2, 3, 4]
    np.testing.assert_allclose([row["eigenvalue"] for row in rows], expected[:4], rtol=1e-3)
    assert all(row["residual"] < 1e-2 * expected[0] for row in rows)
    np.testing.assert_allclose(matrix @ top, expected[0] * top, atol=1e-3 * expected[0])
    assert (
        np.linalg.norm(top) == pytest.approx(1)
        and not top[~np.concatenate([m.ravel() > 0 for m in hessian.weights.masks])].any()
    )


def test_statistics_and_weights_do_not_change(problem):
    model, images, labels = problem
    before = [weight.numpy() for weight in model.weights]
    top_eigenvalues(MaskedHessian(model, images, labels), count=1, iterations=3)
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, model.weights, strict=True))


def test_fewer_weights_than_iterations():
    model = keras.Sequential([keras.layers.Dense(2, use_bias=False, input_shape=(2,))])
    images, labels = np.array([[1.0, 2.0]], np.float32), np.array([[1.0, 0.0]], np.float32)
    rows, _ = top_eigenvalues(MaskedHessian(model, images, labels), count=9)
    # (diag(p) - p·pᵀ) ⊗ x·xᵀ has one eigenvalue that is not zero: 2·p·(1-p)·‖x‖².
    p = float(tf.nn.softmax(model(images))[0, 0])
    assert len(rows) <= 4 and rows[0]["eigenvalue"] == pytest.approx(2 * p * (1 - p) * 5, rel=1e-4)


def test_residuals_are_those_of_the_eigenvectors(problem):
    """In single precision: the iteration's own estimate falls far below what products are exact to."""
    model, images, labels = problem
    hessian = MaskedHessian(model, images, labels)
    rows, top = top_eigenvalues(hessian, count=3, iterations=40)
    expected = np.linalg.norm(hessian.product(top) - rows[0]["eigenvalue"] * top)
    assert rows[0]["residual"] == pytest.approx(expected, rel=1e-3)
    assert all(1e-9 * rows[0]["eigenvalue"] < row["residual"] < 1e-4 * rows[0]["eigenvalue"] for row in rows)


def test_residuals_of_an_iteration_that_stopped_early_are_large():
    class Diagonal:
        """Stands in for a Hessian: a matrix with the values 1 to 9 on its diagonal."""

        class weights:
            size, masks = 9, [np.ones(9)]
            flat = staticmethod(lambda arrays: np.concatenate(arrays))

        def product(self, vector):
            return np.arange(1.0, 10.0) * vector

    rows, top = top_eigenvalues(Diagonal(), count=2, iterations=4)
    ratio = top @ (np.arange(1.0, 10.0) * top)
    expected = np.linalg.norm((np.arange(1.0, 10.0) - ratio) * top)
    assert rows[0]["residual"] == pytest.approx(expected, rel=1e-9) and expected > 0.01


def test_double_precision():
    """The eigenvalues to ten digits, from products in the precision of the weights."""
    keras.backend.set_floatx("float64")
    stack = [keras.layers.Dense(4, "softplus", input_shape=(3,)), keras.layers.Dense(3)]
    model = keras.Sequential(stack)
    keras.backend.set_floatx("float32")
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.3))
    generator = np.random.default_rng(4)
    images, labels = generator.normal(size=(9, 3)), np.eye(3)[generator.integers(0, 3, 9)]
    hessian = MaskedHessian(sparse, images, labels, micro_batch=4)
    matrix = exact(hessian, sparse, images, labels)
    rows, top = top_eigenvalues(hessian, count=2, iterations=30)
    np.testing.assert_allclose([row["eigenvalue"] for row in rows], np.linalg.eigvalsh(matrix)[:-3:-1], rtol=1e-10)
    assert 0 < rows[0]["residual"] < 1e-12
    # Images as they come from files, in single precision, will do as well.
    product = MaskedHessian(sparse, images.astype(np.float32), labels.astype(np.float32)).product(top)
    np.testing.assert_allclose(product, matrix @ top, rtol=0, atol=1e-6)


def test_numbers_out_of_range(small_model, small_images):
    with pytest.raises(TostError, match="micro_batch is -1, it must be at least 1"):
        MaskedHessian(small_model, *small_images, micro_batch=-1)
    hessian = MaskedHessian(small_model, *small_images)
    for wrong in ({"count": 0}, {"iterations": 0}, {"iterations": 2.5}):
        with pytest.raises(TostError, match=f"{next(iter(wrong))} is .*, it must be"):
            top_eigenvalues(hessian, **wrong)
