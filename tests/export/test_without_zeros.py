import numpy as np

from tost_tf.compat import keras
from tost_tf.export.without_zeros import without_zeros
from tost_tf.graph.kernels import prunable_weights


def test_zeros_become_numbers_and_the_rest_stays(small_model):
    kernels = prunable_weights(small_model)
    for number, kernel in enumerate(kernels.values()):
        values = kernel.numpy()
        values.flat[:: number + 2] = 0  # at least a half of the first
        kernel.assign(values)
    empty = list(kernels.values())[-1]
    empty.assign(np.zeros(empty.shape))
    before = small_model.get_weights()
    dense = without_zeros(small_model)
    for path, kernel in prunable_weights(dense).items():
        old, new = kernels[path].numpy(), kernel.numpy()
        assert (new != 0).all() and np.array_equal(new[old != 0], old[old != 0])
        scale = np.sqrt(np.mean(np.square(old))) or (old.size / old.shape[-1]) ** -0.5
        assert np.abs(new[old == 0]).max() <= 1.5 * scale and np.abs(new[old == 0]).min() >= 0.499 * scale
    for old, now in zip(before, small_model.get_weights(), strict=True):
        assert np.array_equal(old, now)
    assert isinstance(dense, keras.Model) and [w.shape for w in dense.weights] == [w.shape for w in small_model.weights]
