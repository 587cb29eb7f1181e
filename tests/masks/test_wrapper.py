import numpy as np
import pytest
import tensorflow_model_optimization as tfmot

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.masks.wrapper import FixedMask


def masked_dense(constraint=None) -> FixedMask:
    wrapper = FixedMask(keras.layers.Dense(2, kernel_constraint=constraint, name="inner"))
    wrapper.build((None, 3))
    wrapper.layer.set_weights([np.array([[1.0, -2.0], [3.0, 4.0], [-5.0, 6.0]]), np.array([0.3, 0.7])])
    wrapper.set_mask(np.array([[1, 0], [0, 1], [1, 1]]))
    return wrapper


def test_weights_are_masked_and_the_layer_computes_with_them():
    wrapper = masked_dense()
    np.testing.assert_array_equal(wrapper.kernel, [[1, 0], [0, 4], [-5, 6]])
    np.testing.assert_allclose(wrapper(tf.constant([[1.0, 10.0, 2.0]])), [[1 - 10 + 0.3, 40 + 12 + 0.7]], rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", keras.optimizers.legacy.SGD(0.1, momentum=0.9)])
def test_weights_stay_masked_after_every_step(optimizer):
    model = keras.Sequential([keras.Input((3,)), masked_dense()])
    model.compile(optimizer, "mse")
    wrapper = model.layers[0]
    before = wrapper.kernel.numpy()
    for _ in range(3):
        model.train_on_batch(np.ones((4, 3)), np.zeros((4, 2)))
        kernel = wrapper.kernel.numpy()
        np.testing.assert_array_equal(kernel[wrapper.mask.numpy() == 0], 0)
        assert np.all(kernel[wrapper.mask.numpy() == 1] != before[wrapper.mask.numpy() == 1])


def test_constraint_of_the_layer_is_kept_and_its_config_is_unchanged():
    wrapper = masked_dense(keras.constraints.NonNeg())
    assert isinstance(wrapper.layer.kernel_constraint, keras.constraints.NonNeg)
    np.testing.assert_array_equal(wrapper.kernel.constraint(wrapper.kernel), [[1, 0], [0, 4], [0, 6]])
    assert keras.layers.Dense.from_config(wrapper.layer.get_config()).kernel_constraint is not None
    assert masked_dense().layer.get_config()["kernel_constraint"] is None


def test_forward_pass_is_masked_whatever_is_written_into_the_kernel():
    wrapper = masked_dense()
    wrapper.kernel.assign(np.array([[1.0, np.nan], [np.inf, 4.0], [-5.0, 6.0]]))
    np.testing.assert_allclose(wrapper(tf.constant([[1.0, 10.0, 2.0]])), [[1 - 10 + 0.3, 40 + 12 + 0.7]], rtol=1e-6)
    assert wrapper.layer.kernel is wrapper.kernel  # the layer has its variable back


def gradients(wrapper):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(wrapper(tf.constant([[1.0, 10.0, 2.0]])) * [3.0, -0.7])
    return tape.gradient(loss, wrapper.kernel).numpy()


def test_pruned_weights_get_no_gradient_unless_requested():
    wrapper = masked_dense()
    np.testing.assert_allclose(gradients(wrapper), [[3, 0], [0, -7], [6, -1.4]], rtol=1e-6)
    wrapper.dense_gradients = True
    np.testing.assert_allclose(gradients(wrapper), [[3, -0.7], [30, -7], [6, -1.4]], rtol=1e-6)


def test_regularizer_sees_the_masked_kernel():
    wrapper = FixedMask(keras.layers.Dense(2, kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.3)))
    wrapper.build((None, 3))
    wrapper.layer.set_weights([np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.zeros(2)])
    wrapper.mask.assign(np.array([[1, 0], [0, 1], [1, 1]]))  # the kernel itself is not masked
    with tf.GradientTape() as tape:
        loss = wrapper.losses[0]
    assert float(loss) == pytest.approx(0.3 * (5 + 6) / np.sqrt(61) / 3)  # rows [1, 0], [0, 4] and [5, 6]
    assert tape.gradient(loss, wrapper.kernel).numpy()[[0, 1], [1, 0]].tolist() == [0, 0]
    assert isinstance(wrapper.layer.kernel_regularizer, keras.regularizers.OrthogonalRegularizer)


def test_step_of_an_optimizer_that_clips_by_norm_is_that_of_the_small_network():
    wrapper = masked_dense()
    model = keras.Sequential([keras.Input((3,)), wrapper])
    model.compile(
        keras.optimizers.SGD(1.0, global_clipnorm=0.5), lambda _, outputs: tf.reduce_sum(outputs * [3.0, -0.7])
    )
    before = wrapper.kernel.numpy()
    model.train_on_batch(np.array([[1.0, 10.0, 2.0]]), np.zeros((1, 2)))
    # The gradients of kernel and biases are [3, -7, 6, -1.4] and [3, -0.7], their norm 10.3063.
    scale = 0.5 / np.sqrt(9 + 49 + 36 + 1.96 + 9 + 0.49)
    expected = before - scale * np.array([[3, 0], [0, -7], [6, -1.4]])
    np.testing.assert_allclose(wrapper.kernel, expected, rtol=1e-5)


def test_weights_from_elsewhere_are_masked():
    wrapper = masked_dense()
    wrapper.set_weights([np.full((3, 2), 7.0), np.zeros(2)])
    np.testing.assert_array_equal(wrapper.kernel, [[7, 0], [0, 7], [7, 7]])


def test_a_dropped_weight_that_is_not_finite_becomes_zero():
    wrapper = masked_dense()
    wrapper.kernel.assign(np.full((3, 2), np.inf))
    wrapper.apply_mask()
    np.testing.assert_array_equal(wrapper.kernel, [[np.inf, 0], [0, np.inf], [np.inf, np.inf]])


def test_tfmot_knows_the_wrapper(tmp_path):
    model = keras.Sequential([keras.Input((3,)), masked_dense()])
    model.compile("sgd", "mse")
    summaries = tfmot.sparsity.keras.PruningSummaries(str(tmp_path))
    model.fit(np.ones((4, 3)), np.zeros((4, 2)), verbose=0, callbacks=[summaries])
    stripped = tfmot.sparsity.keras.strip_pruning(model)
    assert [layer.name for layer in stripped.layers] == ["inner"]
    np.testing.assert_array_equal(stripped.layers[0].kernel, model.layers[0].kernel)
    assert list(tmp_path.rglob("events*"))


def test_round_trip_of_the_config():
    wrapper = FixedMask(keras.layers.Conv2D(3, 5, strides=2, name="inner"))
    again = FixedMask.from_config(wrapper.get_config())
    assert again.name == wrapper.name == "fixed_mask_inner"
    assert again.get_config() == wrapper.get_config()


def test_layers_that_cannot_be_masked_are_refused():
    with pytest.raises(TostError, match="'r' \\(ReLU\\) has no prunable kernel"):
        FixedMask(keras.layers.ReLU(name="r"))
    built = keras.layers.Dense(2, name="d")
    built.build((None, 3))
    with pytest.raises(TostError, match="'d' is already built"):
        FixedMask(built)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
        lambda: keras.optimizers.Adam(0.01, amsgrad=True, global_clipnorm=1.0),
        lambda: keras.optimizers.legacy.Adam(0.01),
        lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.1, momentum=0.9)),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3),
    ],
    ids=["sgd", "adamw", "adam", "legacy adam", "loss scaling", "averaged"],
)
def test_nothing_of_an_optimizer_knows_of_pruned_weights(make):
    wrapper = masked_dense()
    model = keras.Sequential([keras.Input((3,)), wrapper])
    optimizer = make()
    model.compile(optimizer, "mse")
    rng = np.random.default_rng(4)
    pruned = wrapper.mask.numpy() == 0
    for _ in range(5):
        model.train_on_batch(rng.normal(size=(8, 3)), rng.normal(size=(8, 2)))
        assert not wrapper.kernel.numpy()[pruned].any() and wrapper.kernel.numpy()[~pruned].all()
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    variables = inner.variables() if callable(inner.variables) else inner.variables
    slots = [slot.numpy() for slot in variables if tuple(slot.shape) == pruned.shape]
    assert slots and all(not slot[pruned].any() for slot in slots)
