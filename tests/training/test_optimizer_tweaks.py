import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.slots import set_to_first_values, slots_of
from tost_tf.masks.sparsify import masked_kernels, sparsify
from tost_tf.registry import OPTIMIZER_TWEAKS
from tost_tf.training.adamw import AdamW
from tost_tf.training.ham import HAM
from tost_tf.training.optimizer import CoupledSGD
from tost_tf.training.s2_sam import S2SAM
from tost_tf.training.sign_in import SignIn
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


def test_s2_sam_by_hand():
    """Loss w³ of w = 2: gradients 3 w², taken at w and then at w + 0.3 (the only weight: along its sign)."""
    inputs = keras.Input((1,))
    dense = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, name="dense")(inputs))
    model = tost.GhostModel(dense, "none", "none")
    dense.get_layer("dense").kernel.assign([[2.0]])
    optimizer = CoupledSGD(0.01, 0.0)
    optimizer.tweak = S2SAM(0.3)
    model.compile(optimizer, lambda labels, outputs: outputs**3)
    seen = []
    for _ in range(3):
        model.train_on_batch(np.ones((1, 1)), np.ones((1, 1)))
        seen.append(float(dense.get_layer("dense").kernel[0, 0]))
    first = 2 - 0.01 * 3 * 2**2
    second = first - 0.01 * 3 * (first + 0.3) ** 2
    np.testing.assert_allclose(seen, [first, second, second - 0.01 * 3 * (second + 0.3) ** 2], rtol=1e-6)


def test_s2_sam_climbs_along_all_weights_together():
    climbed = S2SAM(0.26).ascent([tf.constant([3.0, 0.0]), tf.constant([[-4.0]], tf.float64), tf.constant([12.0])])
    np.testing.assert_allclose(climbed[0], [0.06, 0], rtol=1e-6)
    np.testing.assert_allclose([climbed[1][0, 0], climbed[2][0]], [-0.08, 0.24], rtol=1e-6)
    assert not S2SAM().ascent([tf.zeros(2)])[0].numpy().any()


@pytest.mark.parametrize("tweak", [exhaustive(S2SAM()), SignIn(rescale_every=2)], ids=type)
def test_what_keeps_a_state_with_a_scaled_loss(tiny_model, small_images, tweak):
    def trained(scaled):
        optimizer = CoupledSGD()
        optimizer.tweak = tweak
        model = tost.GhostModel(sparsify(tiny_model, tost.masks.random(tiny_model, sparsity=0.5)), "none", "none")
        model.compile(keras.mixed_precision.LossScaleOptimizer(optimizer) if scaled else optimizer, LOSS)
        model.fit(*small_images, batch_size=20, epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    for one, other in zip(trained(False), trained(True), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_s2_sam_needs_a_model_that_ascends():
    optimizer = CoupledSGD()
    optimizer.tweak = S2SAM()
    with pytest.raises(TostError, match="S2SAM needs the gradient somewhere else than at the weights"):
        optimizer.apply_gradients([(tf.ones(3), tf.Variable([1.0, 2.0, 3.0]))])


def one_kernel(values, mask):
    """A masked kernel [1, weights] in float64, and its layer."""
    dense = keras.layers.Dense(len(mask), use_bias=False, name="dense", input_shape=(1,), dtype="float64")
    sparse = sparsify(keras.Sequential([dense]), tost.Masks({"dense/kernel": np.array([mask])}))
    (kernel,) = sparse.trainable_variables
    kernel.assign([values])
    return kernel, next(iter(masked_kernels(sparse).values()))


def split_by_hand(weights, balance):
    first = np.sqrt((np.sqrt(4 * weights**2 + balance**2) + balance) / 2)
    return first, weights / first


def test_sign_in_by_hand():
    """Two factors of each weight with a momentum each; before the third step they have their balance again."""
    mask = np.array([1, 1, 0, 1])
    weights = np.array([0.3, -0.7, 0.0, 0.0])
    kernel, _ = one_kernel(weights, mask)
    bias = tf.Variable([0.5], dtype=tf.float64)
    optimizer = CoupledSGD(0.1, 0.6, weight_decay=0.2)
    optimizer.tweak = SignIn(balance=0.8, rescale_every=2)
    factors, momenta, (plain, momentum) = split_by_hand(weights, 0.8), [0.0, 0.0], (0.5, 0.0)
    np.testing.assert_allclose(factors[0] ** 2 - factors[1] ** 2, 0.8)
    rng = np.random.default_rng(8)
    for step in range(4):
        gradient = mask * rng.normal(size=4)
        if step == 2:
            assert np.abs(factors[0] ** 2 - factors[1] ** 2 - 0.8).max() > 0.05
            factors = split_by_hand(weights, 0.8)
        gradients = [gradient * other + 0.2 * factor for factor, other in zip(factors, factors[::-1], strict=True)]
        momenta = [0.6 * old + new for old, new in zip(momenta, gradients, strict=True)]
        factors = [factor - 0.1 * each for factor, each in zip(factors, momenta, strict=True)]
        weights = mask * factors[0] * factors[1]
        momentum = 0.6 * momentum + 0.9 + 0.2 * plain
        plain -= 0.1 * momentum
        optimizer.apply_gradients([(tf.constant([gradient]), kernel), (tf.constant([0.9], tf.float64), bias)])
        np.testing.assert_allclose(kernel[0], weights, rtol=1e-12)
        np.testing.assert_allclose(bias, [plain], rtol=1e-12)
    assert kernel[0, 3] != 0  # it began at zero
    for factor, expected in zip(optimizer.factors_of(kernel), factors, strict=True):
        np.testing.assert_allclose(factor[0], mask * expected, rtol=1e-12)


def test_sign_in_lets_a_weight_change_its_sign_where_a_product_alone_cannot():
    """Weight 0.02 with gradient 1: with the balance it moves at 1, and by the factors of equal size hardly at all."""
    ends = []
    for balance in (1.0, 1e-12):
        kernel, _ = one_kernel([0.02], [1])
        optimizer = CoupledSGD(0.01, 0.0)
        optimizer.tweak = SignIn(balance)
        for _ in range(5):
            optimizer.apply_gradients([(tf.ones((1, 1), tf.float64), kernel)])
        ends.append(float(kernel[0, 0]))
    assert ends[0] == pytest.approx(0.02 - 0.05, abs=1e-3) and 0.017 < ends[1] < 0.02


def test_sign_in_splits_anew_what_something_else_changed():
    kernel, layer = one_kernel([0.3, -0.7, 0.0], [1, 1, 0])
    optimizer = CoupledSGD(0.1, 0.6)
    optimizer.tweak = SignIn(0.8)
    optimizer.apply_gradients([(tf.constant([[0.4, 0.2, 0.0]], tf.float64), kernel)])
    state = slots_of(optimizer, kernel)
    assert len(state) == 5 and not any(slot[0, 2] for slot in state)
    first, second = (factor.numpy() for factor in optimizer.factors_of(kernel))
    momenta = [optimizer.momentum_of(factor).numpy() for factor in optimizer.factors_of(kernel)]
    set_to = np.array([[kernel[0, 0], 0.2, 0.0]])
    layer.set_mask(np.array([[1, 1, 1]]))  # the third grows
    kernel.assign(set_to)
    optimizer.apply_gradients([(tf.constant([[0.1, 0.1, 0.1]], tf.float64), kernel)])
    anew = split_by_hand(set_to, 0.8)
    before = [np.where([[True, False, False]], old, new) for old, new in zip((first, second), anew, strict=True)]
    after = [
        one - 0.1 * (0.6 * momentum + 0.1 * other)
        for one, other, momentum in zip(before, before[::-1], momenta, strict=True)
    ]
    np.testing.assert_allclose(kernel, after[0] * after[1], rtol=1e-12)
    set_to_first_values(optimizer, kernel)
    assert not any(slot.numpy().any() for slot in slots_of(optimizer, kernel))


def test_what_sign_in_refuses():
    for options, message in (({"balance": 0.0}, "balance is 0"), ({"rescale_every": 0}, "rescale_every is 0")):
        with pytest.raises(TostError, match=message):
            SignIn(**options)
    kernel, _ = one_kernel([0.3, -0.7], [1, 1])
    for kind in (tost.OrthogonalSGD, AdamW):
        optimizer = kind()
        optimizer.tweak = SignIn()
        with pytest.raises(TostError, match=f"SignIn trains two factors .* {kind.__name__} trains only kernels"):
            optimizer.build([kernel])


@pytest.fixture(scope="module")
def without_tweak():
    """By the kind of optimizer, the weights it trains without a tweak: each is trained once."""
    return {}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(name, CoupledSGD) for name in OPTIMIZER_TWEAKS],
        *[exhaustive(name, tost.OrthogonalSGD) for name in OPTIMIZER_TWEAKS if name != "sign_in"],
    ],
)
def test_pruned_weights_stay_zero_and_the_others_finite(name, kind, tiny_model, small_images, without_tweak):
    def trained(tweak):
        network = sparsify(tiny_model, tost.masks.random(tiny_model, sparsity=0.6, scope="layer", seed=2))
        model = tost.GhostModel(network, "none", "none")
        optimizer = kind()
        optimizer.tweak = tweak
        model.compile(optimizer, LOSS)
        model.fit(*small_images, batch_size=20, epochs=5, shuffle=False, verbose=0)
        return network

    sparse = trained(OPTIMIZER_TWEAKS[name])
    if kind not in without_tweak:
        without_tweak[kind] = trained(None).get_weights()
    assert any((mine != theirs).any() for mine, theirs in zip(sparse.get_weights(), without_tweak[kind], strict=True))
    for layer in masked_kernels(sparse).values():
        kernel = layer.kernel.numpy()
        assert np.isfinite(kernel).all() and not kernel[layer.mask.numpy() == 0].any() and kernel.any()


# These two keep something between two steps.
@pytest.mark.parametrize(
    "tweak", [exhaustive(S2SAM(0.3)), SignIn(rescale_every=3), exhaustive(HAM(20.0)), exhaustive(SparseOpt())], ids=type
)
def test_two_replicas_take_the_steps_of_one(two_replicas, small_images, tweak):
    def trained(strategy):
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

    one, two = (trained(strategy) for strategy in (tf.distribute.get_strategy(), two_replicas))
    for mine, theirs in zip(two, one, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
