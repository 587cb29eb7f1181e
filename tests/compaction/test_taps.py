import numpy as np
import pytest

from tost_tf.compaction.taps import safe_taps
from tost_tf.compat import keras


def test_taps_worked_out_by_hand():
    # Five pixels, stride 1: the window of three is put at -1, 0, .. 3, so only its middle is always on the image.
    assert safe_taps([3], [1], [1], "same", [5]).tolist() == [False, True, False]
    # Six pixels, stride 2: put at 0, 2, 4; only its last tap falls off, once.
    assert safe_taps([3], [2], [1], "same", [6]).tolist() == [True, True, False]
    assert safe_taps([3], [1], [1], "causal", [5]).tolist() == [False, False, True]
    assert safe_taps([3], [1], [1], "valid", [None]).all() and safe_taps([1], [3], [1], "same", [None]).all()
    assert not safe_taps([3], [1], [1], "same", [None]).any()
    assert safe_taps([3, 1], [1, 1], [1, 1], "same", [5, 7]).tolist() == [[False], [True], [False]]


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "size"), [(4, 1, 1, 7), (3, 2, 1, 7), (3, 1, 2, 9), (2, 3, 1, 8)]
)
def test_taps_are_those_tensorflow_pads(padding, kernel, stride, dilation, size):
    safe = safe_taps([kernel], [stride], [dilation], padding, [size])
    for tap in range(kernel):
        line = np.zeros((kernel, 1, 1), np.float32)
        line[tap] = 1
        layer = keras.layers.Conv1D(1, kernel, stride, padding, dilation_rate=dilation, use_bias=False)
        layer.build((None, size, 1))
        layer.set_weights([line])
        assert bool(np.all(layer(np.ones((1, size, 1), np.float32)) == 1)) == bool(safe[tap])
