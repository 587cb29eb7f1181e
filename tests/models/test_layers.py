"""Where the networks start and how they pad, against PyTorch's rules written out in NumPy."""

import itertools

import numpy as np
import pytest

from tests.exhaustive import exhaustive, quick
from tost_tf import models
from tost_tf.compat import keras, tf
from tost_tf.convert.to_keras3 import to_keras3


def kurtosis(values: np.ndarray) -> float:
    """3 for a normal distribution, 1.8 for an even one, 2.37 for Keras's `he_normal`, cut at two deviations."""
    return float(np.mean((values - values.mean()) ** 4) / np.var(values) ** 2)


def assert_normal(weights: np.ndarray, deviation: float) -> None:
    values, error = weights.ravel(), 4 / np.sqrt(weights.size)  # four standard errors, about
    assert abs(values.mean()) < error * deviation
    assert values.std() == pytest.approx(deviation, rel=error)
    assert kurtosis(values) == pytest.approx(3, abs=8 * error)
    if values.size > 5000:
        assert np.abs(values).max() > 3 * deviation


def assert_even(weights: np.ndarray, bound: float) -> None:
    values = weights.ravel()
    assert values.std() == pytest.approx(bound / np.sqrt(3), rel=4 / np.sqrt(values.size))
    assert 0.8 * bound < np.abs(values).max() <= bound


def convolutions(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)]


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [
        ("resnet8", 8, 2.0),
        exhaustive("resnet32x2", 8, 0.5),
        exhaustive("resnet18", 8, 0.25),
        ("resnet50", 128, 0.25),
        ("vgg16", 8, 0.25),
    ],
)
def test_convolutions_start_as_the_released_code_has_it(name, size, width):
    for layer in convolutions(models.build(name, (size, size, 3), 10, width)):
        kernel = layer.kernel.numpy()
        height, columns, _, filters = kernel.shape
        assert_normal(kernel, np.sqrt(2 / (height * columns * filters)))
        assert not layer.use_bias or not layer.bias.numpy().any()


def test_depthwise_kernels_start_with_the_fan_out_pytorch_counts():
    # PyTorch's kernel of 64 channels is [64, 1, 3, 3]: fan-out 64·9, fan-in 9.
    model = models.build("mobilenet", (16, 16, 3), 10)
    for layer in convolutions(model):
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kernel = layer.depthwise_kernel.numpy()
            assert_normal(kernel, np.sqrt(2 / (kernel.shape[2] * 9)))
    assert model.get_layer("block2_depthwise").depthwise_kernel.shape == (3, 3, 64, 1)


def test_stem_of_the_narrow_networks():
    # The number that tells: 0.12 = sqrt(2 / (9·16)); counted over its inputs it would be 0.27.
    kernels = [models.build("resnet8", (8, 8, 3), 10).get_layer("stem_conv").kernel.numpy() for _ in range(8)]
    assert np.std(kernels) == pytest.approx(0.118, rel=0.05)


@pytest.mark.parametrize("name", quick(["resnet20", "resnet50", "mobilenet"], ("resnet20", "mobilenet")))
def test_classifier_starts_as_a_linear_layer_of_pytorch(name):
    logits = models.build(name, (8, 8, 3), 200).get_layer("logits")
    bound = 1 / np.sqrt(logits.kernel.shape[0])
    assert_even(logits.kernel.numpy(), bound)
    assert_even(logits.bias.numpy(), bound)


@pytest.mark.parametrize(("name", "size"), [("vgg16", 8), ("resnet32x2", 8), ("vgg19", 128)])
def test_classifier_that_starts_small(name, size):
    dense = [
        layer for layer in models.build(name, (size, size, 3), 50, 0.25).layers if isinstance(layer, keras.layers.Dense)
    ]
    assert len(dense) == (3 if size == 128 else 1)
    for layer in dense:
        assert_normal(layer.kernel.numpy(), 0.01)
        assert not layer.bias.numpy().any()


def test_no_two_layers_start_the_same_and_a_seed_repeats_all():
    def weights(seed):
        keras.utils.set_random_seed(seed)
        return models.build("mobilenet", (8, 8, 3), 10, 0.25).get_weights()

    first = weights(3)
    drawn = [weight for weight in first if weight.std() > 0 and weight.size > 1]
    for one, other in itertools.combinations(drawn, 2):
        assert one.shape != other.shape or np.any(one != other)
    for one, again in zip(first, weights(3), strict=True):
        np.testing.assert_array_equal(one, again)
    assert any(np.any(one != other) for one, other in zip(first, weights(4), strict=True))


def torch_convolution(x: np.ndarray, kernel: np.ndarray, stride: int, padding: int, depthwise: bool) -> np.ndarray:
    """PyTorch's Conv2d, by its definition: [batch, height, width, channels], the kernel as Keras keeps it."""
    size = kernel.shape[0]
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    height, columns = ((length - size) // stride + 1 for length in x.shape[1:3])
    result = 0.0
    for row, column in itertools.product(range(size), range(size)):
        seen = x[:, row : row + stride * height : stride, column : column + stride * columns : stride]
        seen = seen[:, :height, :columns]
        result = result + (seen * kernel[row, column, :, 0] if depthwise else seen @ kernel[row, column])
    return result


@pytest.mark.parametrize("shape", [exhaustive((8, 8, 3)), (9, 12, 3)])
@pytest.mark.parametrize(
    "name",
    quick(["resnet8", "resnet32x2", "resnet18", "resnet50", "mobilenet"], ("resnet8", "resnet32x2", "mobilenet")),
)
def test_every_convolution_with_strides_computes_what_pytorch_does(name, shape):
    model = models.build(name, shape, 10, 0.1)
    strided = [layer for layer in convolutions(model) if max(layer.strides) > 1]
    assert any(max(layer.kernel_size) > 1 for layer in strided)
    for layer in strided:
        assert_computes_what_pytorch_does(layer)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet"])
def test_stem_of_large_images_computes_what_pytorch_does(name):
    model = models.build(name, (130, 128, 3), 10, 0.1)
    assert_computes_what_pytorch_does(model.get_layer("stem_conv"))


def assert_computes_what_pytorch_does(layer: keras.layers.Layer) -> None:
    """`layer` with its own padding, and with the layer that pads before it, if there is one."""
    source = layer.input
    if isinstance(source._keras_history.layer, keras.layers.ZeroPadding2D):
        source = source._keras_history.layer.input
    x = np.random.default_rng(0).normal(size=(2, *source.shape[1:]))
    found = keras.Model(source, layer.output)(tf.constant(x, tf.float32)).numpy()
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kernel = (layer.depthwise_kernel if depthwise else layer.kernel).numpy()
    expected = torch_convolution(x, kernel, layer.strides[0], kernel.shape[0] // 2, depthwise)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", quick(["resnet32x2", "mobilenet", "vgg16"], ("mobilenet",)))
def test_networks_are_plain_keras_and_known_to_keras_3(name, tmp_path):
    model = models.build(name, (8, 8, 3), 10, 0.1)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))
    converted = to_keras3(model)
    np.testing.assert_allclose(np.asarray(converted(x)), model(x), rtol=1e-4, atol=1e-6)
    for layer in model.layers:
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        for option in ("depthwise_initializer",) if depthwise else ("kernel_initializer", "bias_initializer"):
            if hasattr(layer, option):
                own, theirs = getattr(layer, option), getattr(converted.get_layer(layer.name), option)
                assert type(theirs).__name__ == type(own).__name__
                assert own.get_config().items() <= theirs.get_config().items() | {("seed", None)}
