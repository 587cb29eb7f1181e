import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError

GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(2.0, 3.0, (16, 6, 6, 3)).astype(np.float32)


def test_identity_skip_by_hand():
    block_output = GENERATOR.normal(size=X.shape).astype(np.float32)
    skip = tost.GhostSkip("identity", alpha=0.3)
    result = skip([X, block_output], training=True)
    mean, variance = X.mean((0, 1, 2)), X.var((0, 1, 2))
    np.testing.assert_allclose(result, block_output + 0.3 * (X - mean) / np.sqrt(variance + 1e-5), atol=1e-5)
    assert skip.trainable_weights == []


def test_identity_skip_pools_and_adds_zero_channels():
    block_output = np.zeros((16, 3, 3, 5), np.float32)
    result = tost.GhostSkip("identity", strides=2)([X, block_output], training=True).numpy()
    pooled = X.reshape(16, 3, 2, 3, 2, 3).mean((2, 4))
    expected = (pooled - pooled.mean((0, 1, 2))) / np.sqrt(pooled.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(result[..., :3], expected, atol=1e-5)
    assert not result[..., 3:].any()


def test_identity_skip_keeps_the_variance_whatever_the_input_scale():
    for scale in (0.01, 1.0, 100.0):
        result = tost.GhostSkip("identity")([scale * X, np.zeros_like(X)], training=True).numpy()
        np.testing.assert_allclose(result.std((0, 1, 2)), 1, rtol=0.06)


def test_identity_skip_leaves_out_channels_the_block_does_not_have():
    assert tost.GhostSkip("identity")([X, np.zeros((16, 6, 6, 2), np.float32)]).shape == (16, 6, 6, 2)


def test_projection_starts_constant_and_the_same_for_every_channel():
    skip = tost.GhostSkip("projection", strides=2, alpha=0.7)
    result = skip([X, np.zeros((16, 3, 3, 5), np.float32)], training=True).numpy()
    kernel = skip.trainable_weights[0]
    np.testing.assert_array_equal(kernel, np.full((1, 1, 3, 5), 1e-4, np.float32))
    projected = 1e-4 * X[:, ::2, ::2].sum(-1)
    expected = 0.7 * (projected - projected.mean()) / np.sqrt(projected.var() + 1e-5)
    for channel in range(5):
        np.testing.assert_allclose(result[..., channel], expected, atol=1e-5)
    # What the constant 1e-4 leaves after BatchNormalization: far less than the 1 a larger start would give.
    assert result.std() < 0.15


def test_projection_with_another_initializer_has_unit_variance():
    skip = tost.GhostSkip("projection", kernel_initializer="he_normal")
    result = skip([X, np.zeros((16, 6, 6, 5), np.float32)], training=True).numpy()
    np.testing.assert_allclose(result.std((0, 1, 2)), 1, rtol=0.01)


def test_skip_of_a_valid_convolution_reads_under_the_centre_of_its_kernel():
    # A 3x3 VALID convolution with stride 2 on 6x6 has its centres at 1 and 3.
    skip = tost.GhostSkip("projection", strides=2, kernel_size=3, padding="valid")
    result = skip([X, np.zeros((16, 2, 2, 4), np.float32)], training=True).numpy()
    projected = 1e-4 * X[:, 1:4:2, 1:4:2].sum(-1)
    np.testing.assert_allclose(
        result[..., 0], (projected - projected.mean()) / np.sqrt(projected.var() + 1e-5), atol=1e-5
    )


def test_skip_of_a_same_convolution_reads_under_the_centre_of_its_kernel():
    # TensorFlow pads a 3x3 convolution with stride 2 on 6x6 by one pixel, at the end: its centres are at 1, 3 and 5.
    skip = tost.GhostSkip("projection", strides=2, kernel_size=3)
    result = skip([X, np.zeros((16, 3, 3, 4), np.float32)], training=True).numpy()
    projected = 1e-4 * X[:, 1::2, 1::2].sum(-1)
    np.testing.assert_allclose(
        result[..., 0], (projected - projected.mean()) / np.sqrt(projected.var() + 1e-5), atol=1e-5
    )


def test_no_alpha_no_skip():
    skip = tost.GhostSkip("projection", kernel_initializer="he_normal")
    block_output = GENERATOR.normal(size=X.shape).astype(np.float32)
    skip([X, block_output])
    skip.alpha.assign(0.0)
    np.testing.assert_array_equal(skip([X, block_output], training=True), block_output)


def test_config_round_trip():
    block = {"strides": (2, 3), "kernel_size": (5, 3), "dilation_rate": 2, "padding": "valid"}
    others = {"kernel_initializer": "he_normal", "alpha": 0.3, "data_format": "channels_first", "name": "s"}
    skip = tost.GhostSkip("identity", **block, **others)
    again = keras.layers.deserialize(keras.layers.serialize(skip))
    assert again.get_config() == skip.get_config()
    assert {name: getattr(again, name) for name in block} == block
    assert float(again.alpha) == pytest.approx(0.3) and again.data_format == "channels_first"


def test_unknown_kind_is_refused():
    with pytest.raises(TostError, match="unknown ghost skip 'identical': did you mean 'identity'"):
        tost.GhostSkip("identical")


def test_by_hand_in_a_model_of_the_user():
    image = keras.Input((6, 6, 3))
    block = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, padding="same")(image))
    x = tost.GhostActivation("pswish")(tost.GhostSkip("identity")([image, block]))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((16, 2)), epochs=2, verbose=0, callbacks=[tost.GhostSchedule(1, 1)])
    skip = next(layer for layer in model.layers if isinstance(layer, tost.GhostSkip))
    assert float(skip.alpha) == 0
    assert isinstance(model(tf.constant(X)), tf.Tensor)
