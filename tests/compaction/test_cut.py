import numpy as np

from tost_tf.compaction.cut import Cut
from tost_tf.compat import tf

ROWS, COLUMNS = np.array([True, False, True]), np.array([False, True, True, False])
CUT = Cut.of_last_axes((2, 3, 4), ROWS, COLUMNS)
WHOLE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
SMALL = np.array([[[1, 2], [9, 10]], [[13, 14], [21, 22]]], np.float32)


def test_entries_that_are_kept_on_both_axes_are_taken():
    assert CUT.small_shape == (2, 2, 2)
    np.testing.assert_array_equal(CUT.of_array(WHOLE), SMALL)
    np.testing.assert_array_equal(CUT.take(tf.constant(WHOLE)), SMALL)


def test_gradient_is_put_back_into_zeros():
    whole = tf.Variable(WHOLE)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(CUT.take(tf.convert_to_tensor(whole)) * (0.3 * SMALL))
    expected = np.zeros_like(WHOLE)
    expected[np.ix_([0, 1], [0, 2], [1, 2])] = 0.3 * SMALL
    np.testing.assert_array_equal(tape.gradient(loss, whole), expected)


def test_what_does_not_stay_is_as_it_was():
    back = CUT.put_back(tf.constant(-SMALL), tf.constant(WHOLE)).numpy()
    np.testing.assert_array_equal(CUT.of_array(back), -SMALL)
    np.testing.assert_array_equal(back[:, 1], WHOLE[:, 1])
    np.testing.assert_array_equal(back[:, :, [0, 3]], WHOLE[:, :, [0, 3]])


def test_a_whole_weight_stays_itself():
    values, cut = tf.constant(WHOLE), Cut.of_last_axes((2, 3, 4), np.full(3, True), None)
    assert cut.take(values) is values and cut.put_back(values, None) is values
    assert cut.small_shape == (2, 3, 4)
