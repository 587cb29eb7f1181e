"""What the manifest says of the input of a file."""

import numpy as np
import pytest

from tost_tf.compat import keras
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.export.manifest import _input
from tost_tf.registry import FORMATS


@pytest.mark.parametrize(
    ("dtype", "shape", "raw", "preprocessed"),
    [
        (np.uint8, (2, 3, 1), "[batch, height, width, channels], pixels 0 to 255", "channels], (pixel / 255 - mean)"),
        (np.float32, (2, 3, 1), "[batch, height, width, channels], as in the data", "channels], (value / 255 - mean)"),
        (np.float32, (2, 3), "[batch, 2, 3], as in the data", "[batch, ...], (value / 255 - mean)"),
    ],
)
def test_only_bytes_are_called_pixels(dtype, shape, raw, preprocessed):
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2)])
    part = LabelledImages(np.full((4, *shape), 7, dtype), np.array([0, 1, 1, 0]))
    data = ImageData(part, part, part, 2, (2.35,), (0.39,))
    assert raw in _input(FORMATS["saved_model"], model, data)
    assert preprocessed in _input(FORMATS["keras3"], model, data)
