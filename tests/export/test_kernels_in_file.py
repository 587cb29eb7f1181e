"""Which zeros of a file belong to which kernel, by hand."""

import numpy as np
import pytest

from tost_tf.compat import keras
from tost_tf.export.fresh_process import FreshProcessResult
from tost_tf.export.kernels_in_file import zeros_by_kernel
from tost_tf.registry import FORMATS


@pytest.fixture
def network() -> keras.Model:
    """Kernels of 12, 16, 16 and 8 weights, of which 5, 7, 16 and 3 are zero."""
    sizes = (("a", 4, 5), ("b", 4, 7), ("c", 4, 16), ("d", 2, 3))
    model = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(units, name=name) for name, units, _ in sizes)])
    for layer, (_, _, zeros) in zip(model.layers, sizes, strict=True):
        kernel = np.ones(layer.kernel.shape)
        kernel.flat[:zeros] = 0
        layer.set_weights([kernel, np.ones(layer.bias.shape)])
    return model


def found_there(*variables: tuple[str, int, int, int]) -> FreshProcessResult:
    names, sizes, axes, zeros = map(np.array, zip(*variables, strict=True))
    return FreshProcessResult(np.zeros((1, 2)), names, sizes, axes, zeros)


def test_saved_model_by_order(network):
    weights = [("x", 12, 2, 4), ("x", 4, 1, 0), ("x", 16, 2, 7), ("x", 4, 1, 0), ("x", 16, 2, 15), ("x", 4, 1, 0)]
    found = found_there(*weights, ("x", 8, 2, 3), ("x", 2, 1, 0))
    expected = {"a/kernel": 4, "b/kernel": 7, "c/kernel": 15, "d/kernel": 3}
    assert zeros_by_kernel(FORMATS["saved_model"], network, found) == expected


def test_keras_3_by_name(network):
    kernels = [("c/kernel", 16, 2, 7), ("model/b/kernel", 16, 2, 16), ("d/kernel", 8, 2, 3), ("a/kernel", 12, 2, 5)]
    expected = {"a/kernel": 5, "b/kernel": 16, "c/kernel": 7, "d/kernel": 3}
    assert zeros_by_kernel(FORMATS["keras3"], network, found_there(*kernels)) == expected


def test_keras_3_names_that_leave_out_nested_models_or_are_not_clear(network):
    image = keras.Input((3,))
    outer = keras.Model(image, keras.layers.Dense(5, name="e")(network(image)))
    kernels = [("c/kernel", 16, 2, 7), ("b/kernel", 16, 2, 16), ("d/kernel", 8, 2, 3), ("a/kernel", 12, 2, 5)]
    zeros = zeros_by_kernel(FORMATS["keras3"], outer, found_there(*kernels, ("e/kernel", 10, 2, 1)))
    assert [zeros[f"{network.name}/b/kernel"], zeros[f"{network.name}/c/kernel"], zeros["e/kernel"]] == [16, 7, 1]
    twice = [("kernel" if name == "c/kernel" else name, *rest) for name, *rest in kernels]
    zeros = zeros_by_kernel(FORMATS["keras3"], network, found_there(*twice))
    assert [zeros["b/kernel"], zeros["c/kernel"]] == [7, 16]  # by size


def test_tensorflow_lite_by_size(network):
    found = found_there(("p", 16, 2, 6), ("q", 16, 2, 16), ("bias", 16, 1, 11), ("r", 12, 4, 9))
    assert zeros_by_kernel(FORMATS["tflite float32"], network, found) == {
        "a/kernel": 9,
        "b/kernel": 6,
        "c/kernel": 16,
        "d/kernel": None,
    }


def test_kernels_that_are_the_same_are_in_the_file_once(network):
    network.get_layer("b").kernel.assign(np.zeros((4, 4)))
    found = found_there(("p", 16, 2, 16), ("r", 12, 2, 5), ("s", 8, 2, 3))
    zeros = zeros_by_kernel(FORMATS["tflite float32"], network, found)
    assert zeros == {"a/kernel": 5, "b/kernel": 16, "c/kernel": 16, "d/kernel": 3}
