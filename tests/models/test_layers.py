"""How the networks pad, against PyTorch's rules written out in NumPy."""

import itertools

import numpy as np
import pytest

from tost_tf import models
from tost_tf.compat import keras, tf


def convolutions(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)]


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


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 12, 3)])
@pytest.mark.parametrize("name", ["resnet8", "resnet18", "resnet50", "mobilenet"])
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
