import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.masks.sparsify import masked_kernels, sparsify
from tost_tf.registry import OPTIMIZER_TWEAKS
from tost_tf.training.ham import HAM
from tost_tf.training.optimizer import CoupledSGD
from tost_tf.training.sparse_opt import SparseOpt

LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def test_ham_by_hand():
    weight = tf.Variable([2.0, -3.0, 0.0], dtype=tf.float64)
    optimizer = CoupledSGD(0.1, 0.0, weight_decay=0.5)
    optimizer.tweak = HAM(alpha=2.0, beta=0.3)
    optimizer.apply_gradients([(tf.constant([0.7, 0.4, 0.0], tf.float64), weight)])
    # After the step 2 - 0.1·1.7 and -3 + 0.1·1.1; then exponents -0.1·(2·0.7 + 0.3) and -0.1·(-2·0.4 + 0.3).
    np.testing.assert_allclose(weight, [1.83 * np.exp(-0.17), -2.89 * np.exp(0.05), 0], rtol=1e-12)


def test_ham_grows_no_weight_without_bound():
    weight = tf.Variable([2.0, 2.0])
    optimizer = CoupledSGD(0.1, 0.0)
    optimizer.tweak = HAM(beta=0.0)
    optimizer.apply_gradients([(tf.constant([-1e4, 10.0]), weight)])
    np.testing.assert_allclose(weight, [1002 * np.exp(5), 1 * np.exp(-5)], rtol=1e-5)


def test_sparse_opt_by_hand():
    mask = np.array([[1, 1], [1, 0], [1, 0], [1, 0]])  # densities 1 and 1/4, 5/8 in the mean
    dense = keras.Sequential([keras.layers.Dense(2, use_bias=False, name="dense", input_shape=(4,))])
    sparse = sparsify(dense, tost.Masks({"dense/kernel": mask}))
    kernel = sparse.trainable_variables[0]
    kernel.assign(mask.astype(np.float32))
    optimizer = CoupledSGD(0.1, 0.0)
    optimizer.tweak = SparseOpt()
    optimizer.apply_gradients([(tf.constant(3.0 * mask, tf.float32), kernel)])
    np.testing.assert_allclose(kernel, mask * (1 - 0.3 * np.sqrt([1.6, 0.4])), rtol=1e-6)


def test_sparse_opt_takes_each_filter_of_a_depthwise_kernel_and_leaves_what_has_no_mask():
    mask = np.zeros((2, 1, 2, 2), np.float32)
    mask[:, 0] = [[[1, 1], [0, 1]], [[1, 0], [0, 1]]]  # densities 1, 1/2, 0, 1: 5/8 in the mean
    kernel = tf.Variable(mask, name="conv/depthwise_kernel")
    scaled = SparseOpt().gradient(tf.constant(mask), kernel, tf.constant(mask))
    factors = np.sqrt(np.array([[1, 0.5], [0, 1]]) / 0.625)
    np.testing.assert_allclose(scaled, mask * factors, rtol=1e-6)
    assert SparseOpt().gradient(tf.ones(3), tf.Variable([0.0] * 3), None).numpy().tolist() == [1, 1, 1]
    assert not SparseOpt().gradient(tf.ones((2, 2)), tf.Variable(tf.zeros((2, 2))), tf.zeros((2, 2))).numpy().any()


@pytest.mark.parametrize("name", OPTIMIZER_TWEAKS)
@pytest.mark.parametrize("kind", [CoupledSGD, tost.OrthogonalSGD])
def test_pruned_weights_stay_zero_and_the_others_finite(name, kind, small_model, small_images):
    sparse = sparsify(small_model, tost.masks.random(small_model, sparsity=0.8, scope="layer", seed=2))
    plain = sparsify(small_model, tost.masks.random(small_model, sparsity=0.8, scope="layer", seed=2))
    for model, tweak in ((sparse, OPTIMIZER_TWEAKS[name]), (plain, None)):
        optimizer = kind()
        optimizer.tweak = tweak
        model.compile(optimizer, LOSS)
        model.fit(*small_images, batch_size=20, epochs=5, shuffle=False, verbose=0)
    assert any((mine != theirs).any() for mine, theirs in zip(sparse.get_weights(), plain.get_weights(), strict=True))
    for layer in masked_kernels(sparse).values():
        kernel = layer.kernel.numpy()
        assert np.isfinite(kernel).all() and not kernel[layer.mask.numpy() == 0].any() and kernel.any()


def test_two_replicas_take_the_steps_of_one(two_replicas, small_images):
    def trained(strategy, tweak):
        with strategy.scope():
            keras.utils.set_random_seed(3)
            dense = keras.Sequential(
                [keras.layers.Flatten(input_shape=(6, 6, 2)), keras.layers.Dense(4, name="logits")]
            )
            model = tost.GhostModel(sparsify(dense, tost.masks.random(dense, sparsity=0.6)), "none", "none")
            optimizer = CoupledSGD(0.05)
            optimizer.tweak = tweak
            model.compile(optimizer, LOSS)
        model.fit(*small_images, batch_size=20, epochs=4, verbose=0)
        return model.get_weights()

    for tweak in (HAM(20.0), SparseOpt()):
        one, two = (trained(strategy, tweak) for strategy in (tf.distribute.get_strategy(), two_replicas))
        for mine, theirs in zip(two, one, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)
