"""That a network computes what the same weights compute in PyTorch, whose layers are written out here in NumPy."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.convert.torch_masks import masks_from_torch
from tost_tf.convert.torch_weights import load_torch_weights
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights

GENERATOR = np.random.default_rng(4)
layers = keras.layers


def numbers(*shape):
    return GENERATOR.normal(size=shape).astype(np.float32)


def relu(x):
    return np.maximum(x, 0)


def convolved(x, w, b=None):
    """`torch.nn.functional.conv2d`, no padding: [n, c, h, w] with [out, c, kh, kw]."""
    height, width = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    out = np.zeros((len(x), len(w), height, width), np.float32)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            out += np.einsum("nchw,oc->nohw", x[:, :, i : i + height, j : j + width], w[:, :, i, j])
    return out if b is None else out + b[:, None, None]


def normalised(x, state, name):
    shape = (-1, *[1] * (x.ndim - 2))
    scale, shift, mean, variance = (
        state[f"{name}.{part}"].reshape(shape) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return scale * (x - mean) / np.sqrt(variance + 1e-5) + shift


def normalization(name, size):
    values = {"weight": numbers(size), "bias": numbers(size), "running_mean": numbers(size)}
    return {f"{name}.{part}": value for part, value in (values | {"running_var": 0.3 + numbers(size) ** 2}).items()}


def bn(name):
    return layers.BatchNormalization(epsilon=1e-5, name=name)


@pytest.fixture
def state():
    """A convolution to 3 channels, its normalisation, and a linear layer behind a flattening of 4x5 pixels."""
    return {
        "module.conv.weight_orig": numbers(3, 2, 3, 3),
        "module.conv.weight_mask": GENERATOR.integers(0, 2, (3, 2, 3, 3)).astype(np.float32),
        "module.conv.bias": numbers(3),
        **{f"module.{name}": value for name, value in normalization("bn", 3).items()},
        "module.bn.num_batches_tracked": np.array(9),
        **{f"module.{name}": value for name, value in normalization("bn_flat", 60).items()},
        "module.fc.weight": numbers(7, 60),
        "module.fc.bias": numbers(7),
    }


def network():
    image = keras.Input((6, 7, 2))
    x = layers.ReLU()(bn("bn")(layers.Conv2D(3, 3, name="conv")(image)))
    x = layers.Dropout(0.3)(bn("bn_flat")(layers.Flatten()(x)))
    return keras.Model(image, layers.Dense(7, name="fc")(x))


def test_logits_are_those_of_pytorch(state, tmp_path):
    save_file(state, tmp_path / "state.safetensors")
    model, lines = network(), []
    load_torch_weights(model, load_file(tmp_path / "state.safetensors"), say=lines.append)
    x, bare = numbers(5, 2, 6, 7), {name.removeprefix("module."): value for name, value in state.items()}
    hidden = convolved(x, bare["conv.weight_orig"] * bare["conv.weight_mask"], bare["conv.bias"])
    flat = relu(normalised(hidden, bare, "bn")).reshape(5, -1)
    expected = normalised(flat, bare, "bn_flat") @ bare["fc.weight"].T + bare["fc.bias"]
    np.testing.assert_allclose(model(x.transpose(0, 2, 3, 1)), expected, rtol=1e-4, atol=1e-3)
    assert lines == ["conv -> conv", "bn -> bn", "bn_flat -> bn_flat", "fc -> fc"]
    masks = masks_from_torch(state, model)
    assert np.array_equal(masks["conv/kernel"], bare["conv.weight_mask"].transpose(2, 3, 1, 0))
    assert np.array_equal(tost.strip(tost.sparsify(model, masks))(np.ones((1, 6, 7, 2))), model(np.ones((1, 6, 7, 2))))


def flat(x):
    return x.reshape(len(x), -1)


HEADS = {
    "flatten": (lambda x: layers.Flatten()(x), flat),
    "reshape": (lambda x: layers.Reshape((-1,))(x), flat),
    "activation": (lambda x: tf.nn.relu(layers.Flatten()(x)), lambda x: relu(flat(x))),
    "pooled": (lambda x: layers.GlobalAveragePooling2D()(x), lambda x: x.mean((2, 3))),
    "mean": (lambda x: tf.reduce_mean(x, (1, 2)), lambda x: x.mean((2, 3))),
    "pooled and flat": (lambda x: layers.Flatten()(layers.AveragePooling2D((4, 5))(x)), lambda x: x.mean((2, 3))),
    "both": (
        lambda x: layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.Flatten()(x)]),
        lambda x: np.concatenate([x.max((2, 3)), flat(x)], 1),
    ),
    "gated": (
        lambda x: layers.Flatten()(x * layers.Reshape((1, 1, 3))(layers.GlobalMaxPooling2D()(x))),
        lambda x: flat(x * x.max((2, 3), keepdims=True)),
    ),
    "padded": (
        lambda x: layers.Flatten()(
            layers.Reshape((4, 5, 6))(layers.ZeroPadding3D((0, 0, (1, 2)))(layers.Reshape((4, 5, 3, 1))(x)))
        ),
        lambda x: flat(np.pad(x, ((0, 0), (1, 2), (0, 0), (0, 0)))),
    ),
    "nested": (
        lambda x: keras.Sequential([layers.InputLayer((4, 5, 3)), layers.ReLU(), layers.Flatten()])(x),
        lambda x: relu(flat(x)),
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_dense_layer_reads_in_the_order_of_pytorch(head):
    here, there = HEADS[head]
    image = keras.Input((6, 7, 2))
    features = here(layers.Conv2D(3, 3, name="conv")(image))
    model = keras.Model(image, layers.Dense(7, name="fc")(features))
    size = features.shape[-1]
    state = {"conv.weight": numbers(3, 2, 3, 3), "conv.bias": numbers(3)}
    state |= {"fc.weight": numbers(7, size), "fc.bias": numbers(7)}
    load_torch_weights(model, state)
    x = numbers(4, 2, 6, 7)
    expected = there(convolved(x, state["conv.weight"], state["conv.bias"])) @ state["fc.weight"].T + state["fc.bias"]
    np.testing.assert_allclose(model(x.transpose(0, 2, 3, 1)), expected, atol=1e-3)
    # A mask goes where its weights go.
    sparse = {name: value * (np.abs(value) > 0.4) for name, value in state.items()}
    masks = masks_from_torch({name: value != 0 for name, value in sparse.items() if "bias" not in name}, model)
    load_torch_weights(model, sparse)
    assert masks == tost.masks.zeros(model)


@pytest.mark.parametrize(
    "scramble",
    [
        lambda x: layers.Reshape((4, 5, 3))(layers.Flatten()(x)),
        lambda x: layers.Permute((2, 1, 3))(x),
        lambda x: layers.Reshape((10, 6))(x),
        lambda x: layers.Reshape((20, 3))(x),
        lambda x: tf.reverse(x, (1,)),
    ],
)
def test_unknown_order_is_refused(scramble):
    image = keras.Input((4, 5, 3))
    out = layers.Dense(7, name="fc")(layers.Flatten()(scramble(layers.ReLU()(image))))
    model = keras.Model(image, out)
    with pytest.raises(TostError, match="fc/kernel cannot be read from PyTorch: after .* is unknown") as error:
        masks_from_torch({"fc.weight": np.ones((7, 60))}, model)
    assert len(str(error.value)) < 500
    with pytest.raises(TostError, match="fc cannot be read from PyTorch"):
        load_torch_weights(model, {"fc.weight": numbers(7, 60), "fc.bias": numbers(7)})


def test_transposed_convolution():
    image = keras.Input((3, 4, 2))
    model = keras.Model(image, layers.Conv2DTranspose(5, (2, 3), name="up")(image))
    state = {"up.weight": numbers(2, 5, 2, 3), "up.bias": numbers(5)}
    load_torch_weights(model, state)
    x, expected = numbers(4, 2, 3, 4), np.zeros((4, 5, 4, 6), np.float32)
    for i, j in np.ndindex(2, 3):
        expected[:, :, i : i + 3, j : j + 4] += np.einsum("nchw,co->nohw", x, state["up.weight"][:, :, i, j])
    expected += state["up.bias"][:, None, None]
    np.testing.assert_allclose(model(x.transpose(0, 2, 3, 1)), expected.transpose(0, 2, 3, 1), atol=1e-4)


def test_kernels_kept_in_another_way_are_refused():
    """The gates of a GRU are in another order there, and what is inside a layer is not seen."""
    words = keras.Input((5, 3))
    memory = keras.Model(words, layers.GRU(4, name="memory")(words))
    masks = {"memory.weight_ih_l0": np.ones((12, 3)), "memory.weight_hh_l0": np.ones((12, 4))}
    with pytest.raises(TostError, match="memory/.*: PyTorch's layout of the weights of a GRU is unknown; leave"):
        masks_from_torch(masks, memory)
    inside = keras.Sequential([layers.InputLayer((2, 2, 3)), layers.Flatten(), layers.Dense(4, name="fc")])
    images = keras.Input((5, 2, 2, 3))
    model = keras.Model(images, layers.TimeDistributed(inside, name="each")(images))
    with pytest.raises(TostError, match="fc/kernel cannot be read from PyTorch: it is part of another layer; leave"):
        masks_from_torch({"fc.weight": np.ones((4, 12))}, model)


def test_words_come_in_the_same_order():
    words = keras.Input((5,), dtype=tf.int32)
    x = layers.Flatten()(layers.Embedding(11, 3, name="words")(words))
    model = keras.Model(words, layers.Dense(2, name="fc")(x))
    state = {"words.weight": numbers(11, 3), "fc.weight": numbers(2, 15), "fc.bias": numbers(2)}
    load_torch_weights(model, state)
    text = GENERATOR.integers(0, 11, (4, 5))
    expected = state["words.weight"][text].reshape(4, -1) @ state["fc.weight"].T + state["fc.bias"]
    np.testing.assert_allclose(model(text), expected, atol=1e-5)


def test_whole_resnet_by_its_names():
    """Of this project, from names as PyTorch's models have them; BatchNormalization in one shape many times."""
    model = tost.models.build("resnet8", (8, 8, 1), 10, 0.5)
    state, width = {"conv1.weight": numbers(8, 1, 3, 3)} | normalization("bn1", 8), 8
    for stage, out in enumerate((8, 16, 32), 1):
        for number, inputs in ((1, width), (2, out)):
            state |= {f"layer{stage}.0.conv{number}.weight": numbers(out, inputs, 3, 3)}
            state |= normalization(f"layer{stage}.0.bn{number}", out)
        width = out
    state |= {"linear.weight": numbers(10, 32), "linear.bias": numbers(10)}
    load_torch_weights(model, state)
    assert np.array_equal(model.get_layer("stem_bn").gamma, state["bn1.weight"])
    for stage in (1, 2, 3):
        for number in (1, 2):
            kernel = state[f"layer{stage}.0.conv{number}.weight"].transpose(2, 3, 1, 0)
            assert np.array_equal(model.get_layer(f"stage{stage}_block1_conv{number}").kernel, kernel)
            shift = state[f"layer{stage}.0.bn{number}.bias"]
            assert np.array_equal(model.get_layer(f"stage{stage}_block1_bn{number}").beta, shift)
    assert np.array_equal(model.get_layer("logits").kernel, state["linear.weight"].T)


def test_whole_mobilenet_by_its_numbers():
    """A `Sequential` of PyTorch: names say nothing but the order."""
    source, model = (tost.models.build("mobilenet", (8, 8, 3), 10, 0.1) for _ in range(2))
    state = {}
    for number, layer in enumerate(source.layers):
        name = f"features.{number}"
        if isinstance(layer, layers.BatchNormalization):
            state |= normalization(name, layer.gamma.shape[0])
            layer.set_weights([state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")])
        elif layer.weights:
            kernel, *bias = layer.get_weights()
            if isinstance(layer, layers.DepthwiseConv2D):
                kernel = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
            else:
                kernel = np.moveaxis(kernel, (-1, -2), (0, 1))
            state |= {f"{name}.weight": kernel} | {f"{name}.bias": value for value in bias}
    load_torch_weights(model, state)
    assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("module.fc.bias"), "fc has no bias in the file, which fc/bias needs"),
        (lambda s: s.pop("module.bn.running_var"), "bn has no running_var in the file, which bn/moving_variance needs"),
        (lambda s: s.update({"module.fc.weight": numbers(7, 30)}), r"fc in the file would have the shape \[30, 7\]"),
        (lambda s: s.update({"module.fc.bias": numbers(1)}), r"module.fc.bias has shape \[1\], fc/bias has \[7\]"),
        (lambda s: s.update({"module.fc.bias": np.full(7, np.nan)}), "module.fc.bias is not finite everywhere"),
        (lambda s: s.update({"extra.weight": numbers(4, 4)}), r"1 in the file \(extra\), 0 in the model \(none\)"),
        (lambda s: s.update({"extra.bias": numbers(4)}), r"1 in the file \(extra\), 0 in the model \(none\)"),
    ],
)
def test_what_does_not_match_is_refused_and_nothing_changed(state, change, message):
    model = network()
    before = model.get_weights()
    change(state)
    with pytest.raises(TostError, match=message) as error:
        load_torch_weights(model, state)
    assert len(str(error.value)) < 500
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_parameters_that_a_layer_does_not_have():
    image = keras.Input((4, 4, 2))
    x = layers.BatchNormalization(scale=False, epsilon=1e-5, name="bn")(image)
    model = keras.Model(image, layers.Conv2D(3, 3, use_bias=False, name="conv")(x))
    state = normalization("bn", 2) | {"bn.weight": np.ones(2), "conv.weight": numbers(3, 2, 3, 3)}
    load_torch_weights(model, state | {"conv.bias": np.zeros(3)})
    with pytest.raises(TostError, match="conv has a bias in the file, but conv has none here"):
        load_torch_weights(model, state | {"conv.bias": np.array([0, 0, 0.3])})
    with pytest.raises(TostError, match="bn has a weight in the file, but bn has none here"):
        load_torch_weights(model, state | {"bn.weight": np.array([1, 0.3])})


def test_layers_that_start_anew(state):
    model = network()
    fresh = model.get_layer("fc").get_weights()
    state["module.fc.weight"], state["module.fc.bias"] = numbers(3, 60), numbers(3)
    lines = []
    load_torch_weights(model, state, new_layers="^fc$", say=lines.append)
    assert all(np.array_equal(a, b) for a, b in zip(fresh, model.get_layer("fc").get_weights(), strict=True))
    assert np.array_equal(model.get_layer("conv").bias, state["module.conv.bias"]) and "fc is ignored" in lines


def test_layer_of_another_kind_is_named():
    words = keras.Input((5, 3))
    model = keras.Model(words, layers.GRU(4, name="memory")(words))
    with pytest.raises(TostError, match=r"the weights of memory \(GRU\) cannot be read from PyTorch"):
        load_torch_weights(model, {"memory.weight_ih_l0": numbers(12, 3)})


def test_another_epsilon_is_reported(caplog):
    image = keras.Input((3,))
    model = keras.Model(image, layers.BatchNormalization(name="bn")(image))
    load_torch_weights(model, normalization("bn", 3))
    assert "bn has epsilon=0.001, but PyTorch's default is 1e-05" in caplog.text
    assert list(prunable_weights(model)) == []
