"""The pixels a ghost skip reads are those under the centre of the convolution's kernel."""

import itertools

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.ghost.alignment import first_centre, first_window, read_length

layers = keras.layers
GENERATOR = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "dilation", "padding", "expected"),
    [
        (6, 3, 2, 1, "same", 1),  # one pixel of padding, at the end: windows start at 0, 2, 4
        (7, 3, 2, 1, "same", 0),  # one on each side
        (9, 5, 3, 1, "same", 1),  # two, one on each side: the first window starts at -1
        (8, 3, 4, 1, "same", 1),  # none needed: windows start at 0 and 4
        (8, 7, 2, 1, "same", 1),  # five, two of them before
        (6, 1, 2, 1, "same", 0),
        (6, 3, 1, 2, "same", 0),
        (6, 3, 2, 1, "valid", 1),
        (9, 3, 1, 2, "valid", 2),
        # An even kernel has no middle: the earlier of the two pixels, or the one between two dilated taps.
        (6, 2, 2, 1, "same", 0),
        (7, 4, 1, 1, "valid", 1),
        (7, 2, 1, 2, "valid", 1),
        (7, 3, 2, 1, "causal", 0),
    ],
)
def test_first_centre_by_hand(size, kernel_size, stride, dilation, padding, expected):
    assert first_centre(size, kernel_size, stride, dilation, padding) == expected
    assert int(first_centre(tf.constant(size), kernel_size, stride, dilation, padding)) == expected


def test_windows_contain_the_centres_and_tile_the_image_if_possible():
    assert first_window(1, 6, 2, 3) == 0  # TensorFlow's padding: [0, 1], [2, 3], [4, 5] hold 1, 3, 5
    assert first_window(0, 6, 2, 3) == 0  # PyTorch's: they hold 0, 2, 4
    assert first_window(1, 8, 2, 3) == 1  # the same behind a layer that pads: not the padding
    assert first_window(1, 9, 3, 3) == 0  # the centre is in the middle
    assert first_window(2, 16, 4, 3) == 1
    assert first_window(0, 7, 3, 3) == 0  # the first window loses what is outside
    for size, stride, kernel_size in itertools.product(range(1, 14), (1, 2, 3, 4), range(1, 6)):
        centre, outputs = first_centre(size, kernel_size, stride, 1, "same"), -(-size // stride)
        start = first_window(centre, size, stride, outputs)
        assert int(first_window(tf.constant(centre), tf.constant(size), stride, outputs)) == start
        places = tf.reshape(tf.range(start, min(size, start + outputs * stride), dtype=tf.float32), (1, -1, 1))
        # Means of places, and whether the window with this mean can hold the centre.
        means = layers.AveragePooling1D(stride, stride, "same")(places).numpy().ravel()
        centres = centre + stride * np.arange(outputs)
        assert np.all(np.abs(means - centres) <= stride / 2), (size, stride, kernel_size)


def impulse(shape: tuple[int, ...], depthwise: bool) -> np.ndarray:
    """A kernel that passes on what is under its centre, each channel for itself."""
    kernel = np.zeros(shape, np.float32)
    centre = tuple((size - 1) // 2 for size in shape[:-2])
    kernel[centre] = 1 if depthwise else np.eye(*shape[-2:])
    return kernel


def twice_the_convolution(model: keras.Model, name: str, inputs: np.ndarray) -> None:
    """Gives the convolution `name` an impulse as its kernel and its skip the same, and compares the two."""
    ghosted = tost.GhostModel(model, neurons="none", skips="projection")
    layer = model.get_layer(name)
    depthwise = "Depthwise" in type(layer).__name__
    layer.set_weights([impulse(layer.weights[0].shape, depthwise)])
    skip = ghosted.ghosted.get_layer(f"{name}_ghost_skip")
    skip.branch[0].set_weights([impulse(skip.branch[0].kernel.shape, False)])
    plain, ghosted = ghosted.plain(inputs, training=False), ghosted.ghosted(inputs, training=False)
    # BatchNormalization divides by the root of 1 + 1e-5 at first.
    np.testing.assert_allclose(ghosted, plain * (1 + (1 + 1e-5) ** -0.5), rtol=1e-5, atol=1e-6)


def behind_a_stem(shape: tuple[int | None, ...], *parts: keras.layers.Layer) -> keras.Model:
    data = keras.Input(shape)
    x = layers.Dense(shape[-1], kernel_initializer="identity", name="stem")(data)
    for part in parts:
        x = part(x)
    return keras.Model(data, x)


@pytest.mark.parametrize(
    ("known", "padding"),
    [(True, "same"), exhaustive(False, "same"), exhaustive(True, "valid"), (False, "valid")],
    ids=["known-same", "open-same", "known-valid", "open-valid"],
)
@pytest.mark.parametrize(
    ("shapes", "make"),
    [
        (
            [(8, 2), (7, 2), (11, 2)],
            lambda stride, padding: layers.Conv1D(2, 5, stride, padding, use_bias=False, name="conv"),
        ),
        (
            [(8, 7, 2), (6, 9, 2)],
            lambda stride, padding: layers.Conv2D(2, (3, 4), (stride, 2), padding, use_bias=False, name="conv"),
        ),
        (
            [(8, 7, 2), (9, 9, 2)],
            lambda stride, padding: layers.DepthwiseConv2D(3, stride, padding, use_bias=False, name="conv"),
        ),
        (
            [(5, 6, 7, 2)],
            lambda stride, padding: layers.Conv3D(2, (1, 2, 3), stride, padding, use_bias=False, name="conv"),
        ),
    ],
    ids=["1D", "2D", "depthwise", "3D"],
)
def test_skip_reads_what_the_centre_of_the_kernel_reads(shapes, make, padding, known):
    for stride, shape in itertools.product((1, 2, 3), shapes):
        model = behind_a_stem(shape if known else (*(None,) * (len(shape) - 1), 2), make(stride, padding))
        twice_the_convolution(model, "conv", GENERATOR.normal(size=(2, *shape)).astype(np.float32))


def test_one_open_model_takes_images_of_any_size():
    model = behind_a_stem((None, 6, 2), layers.Conv2D(2, 3, 2, "same", use_bias=False, name="conv"))
    for height in (5, 6, 8):
        twice_the_convolution(model, "conv", GENERATOR.normal(size=(2, height, 6, 2)).astype(np.float32))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_dilated_convolutions(padding):
    model = behind_a_stem((9, 8, 2), layers.Conv2D(2, 3, 1, padding, dilation_rate=2, use_bias=False, name="conv"))
    twice_the_convolution(model, "conv", GENERATOR.normal(size=(2, 9, 8, 2)).astype(np.float32))


@pytest.mark.parametrize("size", [8, 9])
def test_skip_of_a_convolution_that_a_layer_pads(size):
    parts = layers.ZeroPadding2D(1), layers.Conv2D(2, 3, 2, "valid", use_bias=False, name="conv")
    twice_the_convolution(
        behind_a_stem((size, size, 2), *parts), "conv", GENERATOR.normal(size=(2, size, size, 2)).astype(np.float32)
    )


def test_shared_convolution_on_images_of_two_sizes():
    conv = layers.Conv2D(2, 3, 2, "same", use_bias=False, name="conv")
    model = behind_a_stem((12, 12, 2), conv, conv)  # 12, whose centres begin at 1, and 6
    twice = tost.GhostModel(model, neurons="none").ghosted.get_layer("conv_ghost_skip")
    assert len(twice._inbound_nodes) == 2
    odd = behind_a_stem((10, 10, 2), conv, conv)  # 10 and 5, whose centres begin at 0
    ghosted = tost.GhostModel(odd, neurons="none", skips="projection")
    conv.set_weights([impulse((3, 3, 2, 2), False)])
    branch = ghosted.ghosted.get_layer("conv_ghost_skip").branch[0]
    branch.set_weights([impulse((1, 1, 2, 2), False)])
    x = GENERATOR.normal(size=(2, 10, 10, 2)).astype(np.float32)
    np.testing.assert_allclose(ghosted.ghosted(x), 4 * x[:, 1::4, 1::4], rtol=1e-4)


def identity_skip(x: np.ndarray, outputs: int, **options) -> np.ndarray:
    """What the skip adds to a block of zeros, in inference mode, along both dimensions."""
    block = np.zeros((len(x), outputs, outputs, x.shape[-1]), np.float32)
    return tost.GhostSkip("identity", **options)([x, block]).numpy() * (1 + 1e-5) ** 0.5


def test_identity_skips_average_complete_windows():
    x = GENERATOR.normal(size=(2, 6, 6, 3)).astype(np.float32)
    pairs = x.reshape(2, 3, 2, 3, 2, 3).mean((2, 4))
    np.testing.assert_allclose(identity_skip(x, 3, strides=2, kernel_size=3), pairs, atol=1e-6)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    np.testing.assert_allclose(identity_skip(padded, 3, strides=2, kernel_size=3, padding="valid"), pairs, atol=1e-6)
    triples = x.reshape(2, 2, 3, 2, 3, 3).mean((2, 4))
    np.testing.assert_allclose(identity_skip(x, 2, strides=3, kernel_size=3), triples, atol=1e-6)


def test_identity_skips_leave_padding_out_of_the_average():
    x = GENERATOR.normal(size=(2, 5, 5, 3)).astype(np.float32)
    found = identity_skip(x, 3, strides=2, kernel_size=3)  # windows [0, 1], [2, 3], [4]
    np.testing.assert_allclose(found[:, 2, 2], x[:, 4, 4], atol=1e-6)
    np.testing.assert_allclose(found[:, 0, 2], x[:, :2, 4].mean(1), atol=1e-6)


def test_networks_of_this_project_read_every_other_pixel():
    model = tost.models.build("resnet8", (8, 8, 3), 10, 0.2)
    ghosted = tost.GhostModel(model, neurons="none")
    skip = ghosted.ghosted.get_layer("stage2_block1_conv1_ghost_skip")
    skip.branch[0].kernel.assign(tf.ones_like(skip.branch[0].kernel))
    before, block = (ghosted.ghosted.get_layer(name).output for name in ("stage1_block1_relu2", "stage2_block1_bn1"))
    part = keras.Model(ghosted.ghosted.input, [before, block, skip.output])
    x, block, result = part(GENERATOR.normal(size=(2, 8, 8, 3)).astype(np.float32))
    expected = x.numpy()[:, ::2, ::2].sum(-1, keepdims=True)
    np.testing.assert_allclose(
        (result - block) * (1 + 1e-5) ** 0.5, np.tile(expected, (1, 1, 1, 6)), rtol=1e-3, atol=1e-5
    )


def test_channels_first_is_aligned_as_channels_last_is():
    x, block = tf.random.normal((4, 6, 7, 3)), tf.random.normal((4, 3, 4, 5))
    options = {"strides": 2, "kernel_size": (3, 5), "kernel_initializer": "he_normal"}
    for kind in ("identity", "projection"):
        last = tost.GhostSkip(kind, **options)
        first = tost.GhostSkip(kind, **options, data_format="channels_first")
        moved = [tf.transpose(tensor, (0, 3, 1, 2)) for tensor in (x, block)]
        expected = last([x, block])
        first(moved)
        first.set_weights(last.get_weights())
        np.testing.assert_allclose(tf.transpose(first(moved), (0, 2, 3, 1)), expected, atol=1e-6)


def test_how_many_pixels_are_read():
    assert read_length(1, 9, 2, 4) == 8
    assert read_length(1, 6, 2, 3) == 5  # the last window leaves the image
    assert read_length(0, 5, 1, 5) == 5
    assert int(read_length(tf.constant(2), tf.constant(7), 3, 2)) == 5


@pytest.mark.parametrize(("kind", "size", "outputs"), [("identity", 9, 5), ("projection", 8, 4)])
def test_the_gradient_of_an_aligned_input_is_a_padding(kind, size, outputs):
    """That of a strided slice took a quarter of what identity skips cost in ResNet-20."""
    skip = tost.GhostSkip(kind, strides=2, kernel_size=5)
    block_input, block_output = tf.zeros((1, size, size, 2)), tf.zeros((1, outputs, outputs, 3))
    skip([block_input, block_output])

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = skip([x, block_output], training=True)
        return tape.gradient(result, x)

    operations = {op.type for op in gradient.get_concrete_function(block_input).graph.get_operations()}
    assert "StridedSliceGrad" not in operations and "Slice" in operations
