import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.ghost.relus import is_relu
from tost_tf.graph.kernels import prunable_weights


def sparse_copy(model, sparsity=0.5):
    return tost.sparsify(model, tost.masks.random(model, sparsity=sparsity))


def set_ghosts(model, alpha, beta):
    for layer in model.submodules:
        if isinstance(layer, tost.GhostSkip):
            layer.alpha.assign(alpha)
        if isinstance(layer, tost.GhostActivation):
            layer.beta.assign(beta)


def test_what_is_ghosted(small_model):
    ghosted = tost.GhostModel(sparse_copy(small_model), skips="projection")
    placed = [(ghost.layer, ghost.kind, ghost.shape, ghost.extra_parameters) for ghost in ghosted.ghosts]
    # No skip for the stem and the 1x1 shortcut. A projection has kernel, gamma and beta: 3·5 + 10 and 5·5 + 10.
    assert sorted(placed) == [
        ("conv1", "projection", (3, 3, 5), 25),
        ("conv2", "projection", (3, 3, 5), 35),
        ("relu1", "pswish", (3, 3, 5), 0),
        ("relu2", "pswish", (3, 3, 5), 0),
        ("stem_relu", "pswish", (6, 6, 3), 0),
    ]
    assert "conv2" in ghosted.describe() and "3×3×5" in ghosted.describe()


def test_skip_is_added_after_the_normalization_and_before_the_activation(small_model):
    ghosted = tost.GhostModel(sparse_copy(small_model), neurons="none", skips="identity")
    inbound = {
        layer.name: [tensor._keras_history.layer.name for tensor in tf.nest.flatten(layer.input)]
        for layer in ghosted.ghosted.layers
        if isinstance(layer, tost.GhostSkip)
    }
    assert inbound == {"conv1_ghost_skip": ["stem_relu", "bn1"], "conv2_ghost_skip": ["relu1", "fixed_mask_conv2"]}
    readers = [node.layer.name for node in ghosted.ghosted.get_layer("conv1_ghost_skip")._outbound_nodes]
    assert readers == ["relu1"]


@pytest.mark.parametrize("neurons", ["pswish", "mish"])
@pytest.mark.parametrize("skips", ["identity", "projection"])
def test_faded_ghosts_compute_the_same_as_the_plain_view(small_model, small_images, neurons, skips):
    ghosted = tost.GhostModel(sparse_copy(small_model), neurons, skips, "he_normal")
    set_ghosts(ghosted, 1.0, 1.0)
    assert np.abs(ghosted.ghosted(small_images[0]) - ghosted.plain(small_images[0])).max() > 0.01
    set_ghosts(ghosted, 0.0, 1e6)
    np.testing.assert_allclose(ghosted.ghosted(small_images[0]), ghosted.plain(small_images[0]), atol=1e-5)


def test_ghosted_view_by_hand(small_images):
    image = keras.Input((6, 6, 2))
    hidden = keras.layers.ReLU(max_value=6.0)(keras.layers.Dense(3, name="d", use_bias=False)(image))
    model = keras.Model(image, hidden)
    ghosted = tost.GhostModel(model, beta=1.7)
    x = 9 * small_images[0] @ model.get_layer("d").kernel.numpy()
    np.testing.assert_allclose(
        ghosted(9 * small_images[0]), np.minimum(x / (1 + np.exp(-1.7 * x)), 6), rtol=1e-3, atol=1e-5
    )


def test_both_views_train_the_same_weights_and_masks_hold(small_model, small_images):
    sparse = sparse_copy(small_model)
    ghosted = tost.GhostModel(sparse, skips="identity")
    ghosted.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    zeros = {path: weight.numpy() == 0 for path, weight in prunable_weights(sparse).items()}
    before = {path: weight.numpy() for path, weight in prunable_weights(sparse).items()}
    for switch in (None, ghosted.remove_ghosts):
        if switch:
            switch()
        ghosted.fit(*small_images, epochs=1, verbose=0)
        for path, weight in prunable_weights(ghosted.plain).items():
            np.testing.assert_array_equal(weight.numpy() == 0, zeros[path])
            assert np.any(weight.numpy() != before[path])
            before[path] = weight.numpy()


def test_plain_view_is_used_after_removal_and_has_no_ghost_weights(small_model, small_images):
    ghosted = tost.GhostModel(sparse_copy(small_model), skip_initializer="he_normal")
    ghosted.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    with_ghosts = ghosted.predict(small_images[0], verbose=0)
    count = len(ghosted.trainable_weights)
    ghosted.remove_ghosts()
    plain = ghosted.predict(small_images[0], verbose=0)
    np.testing.assert_allclose(plain, ghosted.plain(small_images[0]), atol=1e-6)
    assert np.abs(plain - with_ghosts).max() > 0.01
    assert len(ghosted.trainable_weights) == len(ghosted.plain.trainable_weights) == count - 6
    ghosted.restore_ghosts()
    np.testing.assert_allclose(ghosted.predict(small_images[0], verbose=0), with_ghosts, atol=1e-6)


def test_after_removal_the_step_has_no_ghost_operation(small_model, small_images):
    ghosted = tost.GhostModel(sparse_copy(small_model))
    ghosted.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))

    def names():
        step = tf.function(lambda x, y: ghosted.train_step((x, y))).get_concrete_function(
            *map(tf.constant, small_images)
        )
        return " ".join(op.name for op in step.graph.get_operations())

    assert "ghost" in names()
    ghosted.remove_ghosts()
    assert "ghost" not in names().replace(ghosted.name, "")


def test_strip_gives_the_original_architecture(small_model, small_images):
    masks = tost.masks.random(small_model, sparsity=0.0)
    final = tost.strip(tost.GhostModel(tost.sparsify(small_model, masks)), ghosts="remove")
    assert final.get_config() == small_model.get_config()
    np.testing.assert_array_equal(final(small_images[0]), small_model(small_images[0]))


def test_nested_and_sequential_models_and_valid_convolutions():
    layers = keras.layers
    inner = keras.Sequential(
        [layers.ZeroPadding2D(1, input_shape=(8, 8, 3)), layers.Conv2D(4, 3, strides=2, name="valid"), layers.ReLU()],
        name="inner",
    )
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3, padding="same", name="first")(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(inner(x))))
    ghosted = tost.GhostModel(sparse_copy(model), skip_initializer="he_normal")
    assert sorted(ghost.kind for ghost in ghosted.ghosts) == ["projection", "pswish"]
    set_ghosts(ghosted, 0.0, 1e6)
    pixels = tf.random.normal((2, 8, 8, 3))
    np.testing.assert_allclose(ghosted.ghosted(pixels), ghosted.plain(pixels), atol=1e-5)
    # The nested model is one layer of the plain view still.
    final = tost.strip(ghosted, ghosts="remove")
    assert [layer.name for layer in final.layers] == [layer.name for layer in model.layers]


def test_activation_layers_that_are_not_relu_are_left_alone():
    layers = keras.layers
    assert is_relu(layers.ReLU()) and is_relu(layers.ReLU(6.0)) and is_relu(layers.Activation("relu"))
    for layer in (
        layers.ReLU(negative_slope=0.1),
        layers.ReLU(threshold=0.5),
        layers.LeakyReLU(),
        layers.Activation("tanh"),
    ):
        assert not is_relu(layer)


@pytest.mark.parametrize(("function", "cap"), [(tf.nn.relu, None), (tf.nn.relu6, 6.0)])
def test_relu_operations_become_ghosts(function, cap):
    image = keras.Input((3,))
    ghosted = tost.GhostModel(keras.Model(image, function(keras.layers.Dense(2)(image))))
    assert [layer.max_value for layer in ghosted.ghosted.layers if isinstance(layer, tost.GhostActivation)] == [cap]


def test_no_ghosts_on_request(small_model, small_images):
    ghosted = tost.GhostModel(sparse_copy(small_model), "none", "none")
    assert not ghosted.ghosts_active and ghosted.ghosts == []
    np.testing.assert_array_equal(ghosted(small_images[0]), ghosted.plain(small_images[0]))


def test_unknown_kinds_are_refused(small_model):
    with pytest.raises(TostError, match="unknown ghost neuron 'relu'"):
        tost.GhostModel(small_model, neurons="relu")
    with pytest.raises(TostError, match="unknown ghost skip 'residual'"):
        tost.GhostModel(small_model, skips="residual")


def test_activations_inside_layers_are_split_off():
    keras.backend.reset_uids()  # for the name of the operation
    layers = keras.layers
    image = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="stem")(image)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="inner")(x)
    x = layers.Conv2D(4, 3, padding="same", activation="tanh", name="other")(x)
    x = layers.Dense(3, activation="relu", name="dense")(tf.nn.relu(layers.Flatten()(x)))
    model = keras.Model(image, layers.Dense(2, name="logits")(x))
    ghosted = tost.GhostModel(sparse_copy(model), skips="identity")
    placed = sorted((ghost.layer, ghost.kind) for ghost in ghosted.ghosts)
    assert placed == [
        *(("dense", "pswish"), ("inner", "identity"), ("inner", "pswish"), ("other", "identity")),
        *(("stem", "pswish"), ("tf.nn.relu", "pswish")),
    ]
    skip = ghosted.ghosted.get_layer("inner_ghost_skip")
    assert [node.layer.name for node in skip._outbound_nodes] == ["inner_ghost"]
    pixels = tf.random.normal((2, 6, 6, 2))
    assert np.abs(ghosted.ghosted(pixels) - ghosted.plain(pixels)).max() > 1e-3
    set_ghosts(ghosted, 0.0, 1e6)
    np.testing.assert_allclose(ghosted.ghosted(pixels), ghosted.plain(pixels), atol=1e-5)
    ghosted.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    before = ghosted.plain.get_layer("fixed_mask_inner").kernel.numpy()
    ghosted.fit(pixels, np.eye(2), verbose=0)
    assert np.any(ghosted.plain.get_layer("fixed_mask_inner").kernel.numpy() != before)
    assert tost.strip(ghosted, ghosts="remove").get_config() == model.get_config()


def test_nested_models_may_use_the_same_names():
    layers = keras.layers
    image = keras.Input((6, 6, 3))

    def inner(name):
        parts = [layers.Conv2D(3, 3, padding="same", name="conv", input_shape=(6, 6, 3)), layers.ReLU(name="relu")]
        return keras.Sequential(parts, name=name)

    first, second = inner("first"), inner("second")
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(second(first(image)))))
    ghosted = tost.GhostModel(sparse_copy(model), skips="identity")
    assert [(ghost.layer, ghost.kind) for ghost in ghosted.ghosts].count(("conv", "identity")) == 1  # not the stem
    set_ghosts(ghosted, 0.0, 1e6)
    pixels = tf.random.normal((2, 6, 6, 3))
    np.testing.assert_allclose(ghosted.ghosted(pixels), ghosted.plain(pixels), atol=1e-5)


def faded_view_equals_plain_one(model, pixels, skips="projection"):
    ghosted = tost.GhostModel(sparse_copy(model), skips=skips, skip_initializer="he_normal")
    set_ghosts(ghosted, 1.0, 1.0)
    assert np.abs(ghosted.ghosted(pixels) - ghosted.plain(pixels)).max() > 1e-4
    set_ghosts(ghosted, 0.0, 1e6)
    np.testing.assert_allclose(ghosted.ghosted(pixels), ghosted.plain(pixels), atol=1e-5)
    assert tost.strip(ghosted, ghosts="remove").get_config() == model.get_config()
    return ghosted


@pytest.mark.parametrize(
    ("strides", "skips"),
    [exhaustive(1, "identity"), (1, "projection"), (2, "identity"), exhaustive(2, "projection")],
)
@pytest.mark.parametrize(
    ("shape", "make"),
    [
        ((7, 4), lambda strides: keras.layers.Conv1D(6, 3, strides, "causal", name="conv")),
        ((7, 4), lambda strides: keras.layers.Conv1D(6, 3, strides, "valid", name="conv")),
        ((7, 4), lambda strides: keras.layers.DepthwiseConv1D(3, strides, "same", name="conv")),
        ((7, 4), lambda strides: keras.layers.SeparableConv1D(6, 3, strides, "same", name="conv")),
        ((7, 5, 4), lambda strides: keras.layers.Conv2D(6, 3, strides, "same", groups=2, name="conv")),
        ((7, 6, 4), lambda strides: keras.layers.SeparableConv2D(6, (2, 3), strides, "valid", name="conv")),
        ((7, 5, 4), lambda strides: keras.layers.DepthwiseConv2D(3, strides, "same", depth_multiplier=2, name="conv")),
        ((5, 7, 6, 4), lambda strides: keras.layers.Conv3D(6, 3, strides, "valid", name="conv")),
        ((5, 7, 6, 4), lambda strides: keras.layers.Conv3D(3, (1, 2, 3), strides, "same", name="conv")),
    ],
)
def test_every_convolution_gets_a_skip(shape, make, strides, skips):
    data = keras.Input(shape)
    before = keras.layers.Dense(4, name="stem")(data)
    x = keras.layers.ReLU()(make(strides)(before))
    model = keras.Model(data, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(x)))
    ghosted = faded_view_equals_plain_one(model, tf.random.normal((3, *shape)), skips)
    assert [(ghost.layer, ghost.kind) for ghost in ghosted.ghosts if ghost.kind == skips] == [("conv", skips)]
    assert any(path.startswith("conv/") for path in prunable_weights(model))


def test_dilated_convolutions_get_a_skip():
    image = keras.Input((9, 9, 3))
    x = keras.layers.Dense(4)(image)
    for padding in ("same", "valid"):
        x = keras.layers.ReLU()(keras.layers.Conv2D(4, 3, padding=padding, dilation_rate=2)(x))
    ghosted = faded_view_equals_plain_one(keras.Model(image, x), tf.random.normal((2, 9, 9, 3)))
    assert sorted(ghost.kind for ghost in ghosted.ghosts) == ["projection"] * 2 + ["pswish"] * 2


def test_transposed_convolutions_are_left_alone():
    image = keras.Input((4, 4, 3))
    x = keras.layers.Conv2DTranspose(4, 3, 2, activation="relu", name="up")(keras.layers.Dense(4)(image))
    ghosted = tost.GhostModel(sparse_copy(keras.Model(image, x)))
    assert [(ghost.layer, ghost.kind) for ghost in ghosted.ghosts] == [("up", "pswish")]


def test_channels_first_is_ghosted_as_channels_last_is():
    # A CPU has no channels_first convolutions, but the skip itself can be compared anywhere.
    x, block = tf.random.normal((4, 6, 5, 3)), tf.random.normal((4, 3, 3, 7))
    last = tost.GhostSkip("projection", 2)([x, block], training=True)
    to_first = (0, 3, 1, 2)
    first = tost.GhostSkip("projection", 2, data_format="channels_first")(
        [tf.transpose(x, to_first), tf.transpose(block, to_first)], training=True
    )
    np.testing.assert_allclose(first, tf.transpose(last, to_first), atol=1e-6)
    image = keras.Input((2, 6, 6))
    y = image
    for _ in range(2):
        y = keras.layers.Conv2D(3, 3, padding="same", data_format="channels_first", name=f"conv{_}")(y)
    ghosted = tost.GhostModel(keras.Model(image, y))
    assert [(ghost.layer, ghost.shape) for ghost in ghosted.ghosts] == [("conv1", (3, 6, 6))]
    assert ghosted.ghosted.output_shape == (None, 3, 6, 6)


def test_shared_layers_several_inputs_and_outputs():
    layers = keras.layers
    one, two = keras.Input((6, 6, 3), name="one"), keras.Input((6, 6, 3), name="two")
    stem, shared = layers.Conv2D(4, 3, padding="same", name="stem"), layers.Conv2D(4, 3, padding="same", name="shared")
    relu = layers.ReLU(name="relu")
    left, right = relu(shared(stem(one))), relu(shared(relu(shared(stem(two)))))
    joined = layers.Concatenate()([left, right])
    model = keras.Model({"one": one, "two": two}, [layers.Dense(2)(layers.Flatten()(joined)), left])
    ghosted = tost.GhostModel(sparse_copy(model), skips="identity")
    # Called three times each, one ghost each.
    assert sorted(ghost.layer for ghost in ghosted.ghosts) == ["relu", "shared"]
    inputs = {"one": tf.random.normal((4, 6, 6, 3)), "two": tf.random.normal((4, 6, 6, 3))}
    set_ghosts(ghosted, 0.0, 1e6)
    for faded, plain in zip(ghosted.ghosted(inputs), ghosted.plain(inputs), strict=True):
        np.testing.assert_allclose(faded, plain, atol=1e-5)
    ghosted.compile("sgd", "mse")
    zeros = {path: weight.numpy() == 0 for path, weight in prunable_weights(ghosted.plain).items()}
    ghosted.fit(inputs, [np.ones((4, 2)), np.ones((4, 6, 6, 4))], verbose=0)
    for path, weight in prunable_weights(ghosted.plain).items():
        assert np.all(weight.numpy()[zeros[path]] == 0) and np.any(weight.numpy() != 0)


def test_activations_left_alone_are_named():
    layers = keras.layers
    image = keras.Input((6, 6, 3))
    x = layers.LeakyReLU(name="leaky")(layers.Dense(4)(image))
    x = layers.Dense(4, activation="tanh", name="fused")(layers.Activation("gelu", name="gelu")(x))
    x = layers.ReLU(negative_slope=0.1, name="sloped")(tf.nn.silu(x))
    x = layers.Dense(2, activation="softmax", name="top")(layers.ReLU()(x))
    ghosted = tost.GhostModel(sparse_copy(keras.Model(image, x)))
    kinds = {name: kind for name, kind in ghosted.left_alone.items() if "silu" not in name}
    assert kinds == {"leaky": "LeakyReLU", "fused": "tanh", "gelu": "gelu", "sloped": "ReLU"}
    assert list(ghosted.left_alone.values()).count("nn.silu") == 1 and len(ghosted.left_alone) == 5
    assert "left alone, since they are not ReLU: leaky (LeakyReLU), gelu (gelu)" in ghosted.describe()
    assert tost.GhostModel(keras.Model(image, image)).left_alone == {}


def test_nested_models_keep_how_they_are_called():
    layers = keras.layers
    parts = [layers.Conv2D(3, 3, input_shape=(6, 6, 3)), layers.BatchNormalization(), layers.ReLU()]
    base = keras.Sequential(parts, name="base")
    image = keras.Input((6, 6, 3))
    for features in (base(image, training=False), base(inputs=image, training=False)):
        model = keras.Model(image, layers.Dense(2)(layers.Flatten()(features)))
        ghosted = tost.GhostModel(sparse_copy(model), skips="none")
        set_ghosts(ghosted, 0.0, 1e6)
        pixels = 3 + tf.random.normal((4, 6, 6, 3))
        frozen = ghosted.plain(pixels, training=True)
        np.testing.assert_allclose(ghosted.ghosted(pixels, training=True), frozen, atol=1e-5)
        np.testing.assert_allclose(ghosted.plain(pixels, training=False), frozen, atol=1e-6)
