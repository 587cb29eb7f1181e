"""Optimizers whose step on a kernel is a fraction of its norm."""

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tests.training.test_newton_schulz import iterated
from tost_tf.compat import keras, tf
from tost_tf.dynamic.growth import GRADIENT
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.sparsify import masked_kernels, sparsify, with_dense_gradients

BOTH = pytest.mark.parametrize("kind", ["OrthogonalSGD", "LARS"])
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def test_config_round_trip():
    optimizer = tost.OrthogonalSGD(0.3, 0.7, True, 0.1, 3, ["a", "b"], 5.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.nesterov, again.ns_steps, again.exclude_layers) == (True, 3, ("a", "b"))
    assert (again.momentum, again.coupled_weight_decay, again.sgd_learning_rate_ratio) == (0.7, 0.1, 5.0)


def kernel_of(values, name="conv/kernel") -> tf.Variable:
    return tf.Variable(np.array(values, np.float64), name=name)


def masked(model, sparsity=0.6) -> keras.Model:
    return sparsify(model, tost.masks.random(model, sparsity=sparsity, scope="layer", seed=2))


def test_lars_by_hand():
    kernel = kernel_of([[3.0, 0.0], [0.0, -4.0]])  # of norm 5
    optimizer = tost.LARS(0.1, momentum=0.5, weight_decay=0.1, exclude_layers=[])
    optimizer.apply_gradients([(tf.constant([[0.3, 0.8], [0.0, 0.4]], tf.float64), kernel)])
    # Momentum 0.3 + 0.1·3, 0.8, 0, 0.4 - 0.1·4: of norm 1; the step is 0.1·5 long.
    np.testing.assert_allclose(kernel, [[3 - 0.5 * 0.6, -0.5 * 0.8], [0, -4]], rtol=1e-12)
    norm = np.linalg.norm(kernel)
    optimizer.learning_rate = 0.02
    before = kernel.numpy()
    optimizer.apply_gradients([(tf.constant([[0.1, 0.2], [0.3, 0.4]], tf.float64), kernel)])
    momentum = 0.5 * np.array([[0.6, 0.8], [0, 0]]) + [[0.1, 0.2], [0.3, 0.4]] + 0.1 * before
    np.testing.assert_allclose(kernel, before - 0.02 * norm * momentum / np.linalg.norm(momentum), rtol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_orthogonal_steps_against_numpy(nesterov):
    generator = np.random.default_rng(4)
    kernel = kernel_of(generator.normal(size=(3, 2, 5, 4)))
    optimizer = tost.OrthogonalSGD(0.03, 0.8, nesterov, weight_decay=0.2, exclude_layers=())
    expected, momentum = kernel.numpy().reshape(-1, 4), 0.0
    for _ in range(3):
        gradient = generator.normal(size=(30, 4))
        optimizer.apply_gradients([(tf.constant(gradient.reshape(3, 2, 5, 4)), kernel)])
        momentum = 0.8 * momentum + gradient  # no L2 penalty
        direction = iterated(gradient + 0.8 * momentum if nesterov else momentum)
        stepped = expected - 0.03 * np.linalg.norm(expected) * direction / np.linalg.norm(direction)
        expected = stepped * np.linalg.norm(expected) / np.linalg.norm(stepped)
    np.testing.assert_allclose(kernel.numpy().reshape(-1, 4), expected, rtol=1e-9)


def test_channels_of_a_depthwise_kernel_are_matrices_of_their_own():
    generator = np.random.default_rng(5)
    kernel = kernel_of(generator.normal(size=(3, 3, 4, 2)), "conv/depthwise_kernel")
    before, gradient = kernel.numpy(), generator.normal(size=(3, 3, 4, 2))
    tost.OrthogonalSGD(0.03, 0.0, exclude_layers=[]).apply_gradients([(tf.constant(gradient), kernel)])
    blocks = np.zeros((36, 8))
    for channel in range(4):
        blocks[9 * channel : 9 * channel + 9, 2 * channel : 2 * channel + 2] = gradient[:, :, channel].reshape(9, 2)
    direction = iterated(blocks)
    expected = before.copy()
    for channel in range(4):
        part = direction[9 * channel : 9 * channel + 9, 2 * channel : 2 * channel + 2].reshape(3, 3, 2)
        expected[:, :, channel] -= 0.03 * np.linalg.norm(before) / np.linalg.norm(direction) * part
    np.testing.assert_allclose(kernel.numpy(), expected * np.linalg.norm(before) / np.linalg.norm(expected), rtol=1e-9)


def test_norms_stay_however_many_steps_there_are():
    """Without that they grew by ten in each epoch of CIFAR-10, and the activations overflowed in the 19th."""
    generator = np.random.default_rng(6)
    dense = keras.Sequential([keras.layers.Dense(4, use_bias=False, name="dense", input_shape=(5,))])
    mask = generator.random((5, 4)) < 0.7
    kernel = sparsify(dense, tost.Masks({"dense/kernel": mask})).trainable_variables[0]
    kernel.assign(np.where(mask, generator.normal(size=(5, 4)), 100.0))
    optimizer = tost.OrthogonalSGD(0.3, exclude_layers=[])
    norm = np.linalg.norm(kernel.numpy()[mask])
    gradient = mask * generator.normal(size=(5, 4))
    for sign in (1, 1, 1, -1, 1) * 20:
        optimizer.apply_gradients([(tf.constant(sign * gradient, tf.float32), kernel)])
    assert np.linalg.norm(kernel.numpy()[mask]) == pytest.approx(norm, rel=1e-5)
    assert np.all(kernel.numpy()[~mask] == 100)


def test_the_last_kernel_takes_the_step_of_sgd_where_no_kernel_is_a_matrix():
    optimizer = tost.OrthogonalSGD()
    first, last = kernel_of(np.ones((1, 2, 3)), "a/kernel:0"), kernel_of(np.ones((1, 3, 2)), "b/kernel:0")
    optimizer.build([first, last])
    assert optimizer.takes_relative_steps(first) and not optimizer.takes_relative_steps(last)


@BOTH
def test_steps_are_a_share_of_the_kept_weights_norm_or_keep_it_and_pruned_weights_stay_zero(
    kind, tiny_model, small_images
):
    sparse = masked(tiny_model)
    layers = masked_kernels(sparse)
    sparse.compile(getattr(tost, kind)(0.07, weight_decay=0.01), LOSS)
    for _ in range(3):
        before = {path: layer.kernel.numpy() for path, layer in layers.items()}
        sparse.fit(*small_images, batch_size=20, verbose=0)
        for path, layer in layers.items():
            kernel, mask = layer.kernel.numpy(), layer.mask.numpy()
            assert (
                not kernel[mask == 0].any() and not sparse.optimizer.momentum_of(layer.kernel).numpy()[mask == 0].any()
            )
            norm = np.linalg.norm(before[path])
            relative = sparse.optimizer.takes_relative_steps(layer.kernel)
            assert relative == (path != "logits/kernel")
            if kind == "OrthogonalSGD":
                assert (np.linalg.norm(kernel) == pytest.approx(norm, rel=1e-5)) == relative
            else:
                assert (np.linalg.norm(kernel - before[path]) == pytest.approx(0.07 * norm, rel=1e-4)) == relative


def test_the_mask_counts_whatever_pruned_weights_are():
    dense = keras.Sequential([keras.layers.Dense(2, use_bias=False, name="dense", input_shape=(3,))])
    mask = np.array([[1, 0], [1, 1], [0, 0]])
    sparse = sparsify(dense, tost.Masks({"dense/kernel": mask}))
    kernel = sparse.trainable_variables[0]
    kernel.assign([[3.0, 100], [0, 4.0], [100, 100]])
    tost.LARS(0.1, 0.0, exclude_layers=[]).apply_gradients(
        [(tf.constant(mask * [[0.6], [0.8], [0.0]], tf.float32), kernel)]
    )
    direction = np.array([[0.6, 0], [0.8, 0.8], [0, 0]]) / np.sqrt(0.36 + 2 * 0.64)
    np.testing.assert_allclose(kernel, [[3.0, 100], [0, 4.0], [100, 100]] - 0.1 * 5 * direction, rtol=1e-6)


def test_other_weights_than_kernels_and_the_classifier_are_trained_by_sgd():
    kernel, logits, bias = kernel_of([[3.0], [4.0]], "a/kernel:0"), kernel_of([[2.0]], "b/kernel:0"), kernel_of([1.0])
    table = kernel_of([[1.0]], "c/embeddings:0")
    optimizer = tost.OrthogonalSGD(0.1, momentum=0.5, weight_decay=0.3, sgd_learning_rate_ratio=4.0)
    gradients = [tf.ones(variable.shape, tf.float64) for variable in (kernel, logits, bias, table)]
    optimizer.apply_gradients(zip(gradients, (kernel, logits, bias, table), strict=True))
    assert [v.numpy().item() for v in (logits, bias, table)] == pytest.approx([2 - 0.4 * 1.6, 1 - 0.4 * 1.3, 0.48])
    # A step of 0.5 along (1, 1), then as long as before.
    stepped = np.array([[3.0], [4.0]]) - 0.5 / 2**0.5
    np.testing.assert_allclose(kernel, stepped * 5 / np.linalg.norm(stepped), rtol=1e-6)


def test_kernels_are_excluded_by_name(small_model):
    optimizer = tost.OrthogonalSGD(exclude_layers=["^conv1/", "shortcut"])
    optimizer.build(small_model.trainable_variables)
    by_sgd = [
        path for path, kernel in prunable_weights(small_model).items() if not optimizer.takes_relative_steps(kernel)
    ]
    assert set(by_sgd) == {"shortcut/kernel", "conv1/kernel"}


def test_one_expression_is_not_taken_for_several(small_model):
    optimizer = tost.OrthogonalSGD(exclude_layers="conv1")
    optimizer.build(small_model.trainable_weights)
    relative = {weight.name for weight in small_model.trainable_weights if optimizer.takes_relative_steps(weight)}
    assert "conv1/kernel:0" not in relative and {"stem/kernel:0", "logits/kernel:0"} <= relative


def test_an_expression_that_is_in_no_name_is_refused(small_model):
    with pytest.raises(TostError, match="exclude_layers has 'head', which is in the name of no kernel: they are stem/"):
        tost.OrthogonalSGD(exclude_layers=["conv1", "head"]).build(small_model.trainable_weights)


@BOTH
def test_kernels_without_gradient_or_norm_take_the_step_of_sgd(kind):
    optimizer = getattr(tost, kind)(0.1, 0.5, weight_decay=0.2, exclude_layers=[])
    idle, empty = kernel_of([[3.0, 4.0]], "a/kernel"), kernel_of([[0.0, 0.0]], "b/kernel")
    optimizer.apply_gradients([(tf.zeros((1, 2), tf.float64), idle), (tf.constant([[1.0, 0.5]], tf.float64), empty)])
    penalty = 0.2 if kind == "LARS" else 0.0  # orthogonal steps know none
    np.testing.assert_allclose(idle, [[3 - 0.2 * penalty * 3, 4 - 0.2 * penalty * 4]], rtol=1e-12)
    np.testing.assert_allclose(empty, [[-0.2, -0.1]], rtol=1e-12)


@pytest.mark.parametrize("kind", ["OrthogonalSGD", exhaustive("LARS")])
def test_two_replicas_take_the_steps_of_one(kind, two_replicas, small_images):
    def trained(strategy):
        with strategy.scope():
            layers = keras.layers
            keras.utils.set_random_seed(3)
            dense = keras.Sequential([layers.Conv2D(5, 3, name="one", input_shape=(6, 6, 2)), layers.ReLU()])
            dense.add(layers.Conv2D(7, 2, name="two"))
            dense.add(layers.Flatten())
            dense.add(layers.Dense(4, name="logits"))
            model = tost.GhostModel(masked(dense), "none", "none")
            model.compile(getattr(tost, kind)(0.05), LOSS)
        model.fit(*small_images, batch_size=20, epochs=4, verbose=0)
        return model

    one, two = (trained(strategy) for strategy in (tf.distribute.get_strategy(), two_replicas))
    for mine, theirs in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    for layer in masked_kernels(two.plain).values():
        for kernel, mask in zip(layer.kernel.values, layer.mask.values, strict=True):
            assert not kernel.numpy()[mask.numpy() == 0].any() and kernel.numpy().any()


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("OrthogonalSGD", "mixed_float16"),
        exhaustive("OrthogonalSGD", "mixed_bfloat16"),
        exhaustive("LARS", "mixed_float16"),
        ("LARS", "mixed_bfloat16"),
    ],
)
def test_mixed_precision(kind, policy, small_model, small_images):
    from tost_tf.graph.precision import in_precision

    sparse = masked(in_precision(small_model, policy.removeprefix("mixed_")))
    optimizer = getattr(tost, kind)(0.05)
    scaled = keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=16) if "16" in policy[-7:] else optimizer
    sparse.compile(scaled, LOSS)
    before = {path: layer.kernel.numpy() for path, layer in masked_kernels(sparse).items()}
    sparse.fit(*small_images, batch_size=20, verbose=0)
    for path, layer in masked_kernels(sparse).items():
        kernel = layer.kernel.numpy()
        assert not kernel[layer.mask.numpy() == 0].any()
        if path != "logits/kernel":
            share = np.linalg.norm(kernel - before[path]) / np.linalg.norm(before[path])
            assert share == pytest.approx(0.05, rel=0.01)  # a little less where the norm is kept


@pytest.mark.parametrize("compiled", ["model", exhaustive("optimizer")])
def test_xla_gives_the_same(compiled, tiny_model, small_images):
    results = []
    for jit in (False, True):
        sparse = masked(tiny_model)
        optimizer = tost.OrthogonalSGD(0.05)
        optimizer.jit_compile = jit and compiled == "optimizer"  # Keras itself turns it off without a GPU
        sparse.compile(optimizer, LOSS, jit_compile=(jit and compiled == "model") or None)
        sparse.fit(*small_images, batch_size=20, shuffle=False, epochs=2, verbose=0)
        results.append(sparse.get_weights())
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-4)


@pytest.mark.parametrize("kind", ["OrthogonalSGD", exhaustive("LARS"), "AdamW"])
def test_masks_that_change(kind, tiny_model, small_images):
    from tost_tf.training.adamw import AdamW

    sparse = masked(tiny_model)
    optimizer = AdamW(0.01) if kind == "AdamW" else getattr(tost, kind)(0.05)
    optimizer.keep_gradients(with_dense_gradients(sparse))
    sparse.compile(optimizer, LOSS)
    optimizer.build(sparse.trainable_variables)
    updater = MaskUpdater(sparse, optimizer)
    grown = 0
    for step in range(1, 4):
        sparse.fit(*small_images, batch_size=20, verbose=0)
        before = updater.masks()
        grown += updater.update(GRADIENT, 0.4, step).grown
        for path, layer in updater.layers.items():
            mask, joined = layer.mask.numpy(), (layer.mask.numpy() == 1) & (before[path] == 0)
            assert not layer.kernel.numpy()[mask == 0].any()
            for slot in optimizer.slots_of(layer.kernel):
                assert not slot.numpy()[(mask == 0) | joined].any() and slot.numpy().any()
            dense = optimizer.gradient_of(layer.kernel).numpy()
            assert dense[before[path] == 0].any()
    assert grown > 3


@pytest.mark.parametrize("kind", ["OrthogonalSGD", exhaustive("LARS"), exhaustive("AdamW")])
def test_killed_and_restored_is_never_killed(kind, tiny_model, small_images, tmp_path):
    from tost_tf.training.adamw import AdamW

    def make():
        sparse = masked(tiny_model)
        optimizer = AdamW(0.01) if kind == "AdamW" else getattr(tost, kind)(0.05, exclude_layers=["logits"])
        sparse.compile(optimizer, LOSS)
        optimizer.build(sparse.trainable_variables)
        return sparse, tf.train.Checkpoint(model=sparse, optimizer=optimizer)

    def steps(model, count):
        model.fit(*small_images, batch_size=5, shuffle=False, epochs=count, verbose=0)

    whole, checkpoint = make()
    steps(whole, 2)
    path = checkpoint.save(str(tmp_path / "ckpt"))
    steps(whole, 2)
    again, checkpoint = make()
    checkpoint.restore(path).assert_consumed()
    steps(again, 2)
    for mine, theirs in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", ["OrthogonalSGD", exhaustive("LARS")])
def test_a_compiled_model_is_saved_and_loaded_with_it(kind, tiny_model, small_images, tmp_path):
    sparse = masked(tiny_model)
    sparse.compile(getattr(tost, kind)(0.05, 0.8, weight_decay=0.01, exclude_layers=["logits"]), LOSS)
    sparse.fit(*small_images, batch_size=20, verbose=0)
    sparse.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == sparse.optimizer.get_config()
    for model in (sparse, loaded):
        model.fit(*small_images, batch_size=20, shuffle=False, verbose=0)
    for mine, theirs in zip(loaded.get_weights(), sparse.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    for layer in masked_kernels(loaded).values():
        assert not layer.kernel.numpy()[layer.mask.numpy() == 0].any()


def test_adamw_leaves_pruned_weights_alone(tiny_model, small_images):
    from tost_tf.training.adamw import AdamW

    sparse = masked(tiny_model)
    plain = sparsify(tiny_model, tost.masks.random(tiny_model, sparsity=0.6, scope="layer", seed=2))
    sparse.compile(AdamW(0.02, 0.1), LOSS)
    plain.compile(keras.optimizers.AdamW(0.02, 0.1), LOSS)
    for model in (sparse, plain):
        model.fit(*small_images, batch_size=20, shuffle=False, epochs=3, verbose=0)
    for mine, keras_own in zip(sparse.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=1e-6)
    for layer in masked_kernels(sparse).values():
        assert not layer.kernel.numpy()[layer.mask.numpy() == 0].any()
