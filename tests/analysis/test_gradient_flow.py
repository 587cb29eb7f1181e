import numpy as np
import pytest

import tost_tf as tost
from tost_tf.analysis.gradient_flow import gradient_flow
from tost_tf.analysis.hessian import MaskedHessian, top_eigenvalues
from tost_tf.compat import keras


def test_mean_norm_by_hand():
    model = keras.Sequential(
        [keras.layers.Dense(2, use_bias=False, input_shape=(2,), name="a"), keras.layers.Dense(1, name="b")]
    )
    masks = tost.Masks({"a/kernel": [[1, 0], [1, 1]], "b/kernel": [[1], [0]]})
    sparse = tost.sparsify(model, masks)
    a, b = np.array([[2.0, 0.0], [0.5, -1.0]]), np.array([[3.0], [0.0]])
    first, second = (wrapper.kernel for wrapper in sparse.layers)
    first.assign(a)
    second.assign(b)
    x, y = np.array([[1.0, -2.0]], np.float32), np.array([[0.3]], np.float32)
    slope = 2 * ((x @ a @ b).item() - 0.3)  # of the squared error; the bias is 0
    of_a = slope * x.T @ b.T * np.array([[1, 0], [1, 1]])
    of_b = slope * (x @ a).T * np.array([[1], [0]])
    expected = (np.linalg.norm(of_a) + np.linalg.norm(of_b)) / 2
    assert gradient_flow(sparse, x, y, keras.losses.MeanSquaredError()) == pytest.approx(expected, rel=1e-5)


def test_statistics_stay(small_model, small_images):
    before = [weight.numpy() for weight in small_model.weights]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    assert gradient_flow(tost.GhostModel(small_model), *small_images, loss) > 0
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, small_model.weights, strict=True))


def test_on_two_replicas_it_is_the_same(small_images, two_replicas):
    layers = keras.layers
    stack = [layers.Conv2D(3, 3, name="conv"), layers.BatchNormalization(), layers.ReLU(), layers.Flatten()]
    small_model = keras.Sequential([keras.Input((6, 6, 2)), *stack, layers.Dense(4, name="logits")])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    masks = tost.masks.random(small_model, sparsity=0.6)
    expected = gradient_flow(tost.sparsify(small_model, masks), *small_images, loss)
    found = []

    class Measure(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            found.append(gradient_flow(self.model, *small_images, loss))
            found.append(top_eigenvalues(MaskedHessian(self.model, *small_images), 2, 8)[0])

    with two_replicas.scope():
        mirrored = tost.GhostModel(tost.sparsify(small_model, masks), "none", "none")
        mirrored.compile("sgd", loss)
    mirrored.fit(*small_images, batch_size=10, epochs=1, verbose=0, callbacks=[Measure()])
    assert found[0] == pytest.approx(expected, rel=1e-5)
    one, _ = top_eigenvalues(MaskedHessian(tost.sparsify(small_model, masks), *small_images), 2, 8)
    assert [row["eigenvalue"] for row in found[1]] == pytest.approx([row["eigenvalue"] for row in one], rel=1e-3)
