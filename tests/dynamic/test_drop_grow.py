import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tost_tf.dynamic.drop_grow import drop_and_grow

WEIGHT = np.array([[0.5, 0.0, -0.1, 0.0], [-0.9, 0.3, 0.0, 0.2]])
MASK = np.array([[1, 0, 1, 0], [1, 1, 0, 1]], np.uint8)
GRADIENT = np.array([[9.0, 0.2, 9.0, 0.7], [9.0, 9.0, 0.6, 9.0]])


def test_the_smallest_are_dropped_and_the_highest_grown():
    # 0.4 of 5 weights: -0.1 and 0.2 go; of the empty places 0.7 and 0.6 come. Scores of kept weights mean nothing.
    assert drop_and_grow(WEIGHT, MASK, 0.4, GRADIENT).tolist() == [[1, 0, 0, 1], [1, 1, 1, 0]]


def test_a_fraction_is_rounded_to_the_nearest_number_of_weights():
    assert drop_and_grow(WEIGHT, MASK, 0.29, GRADIENT).tolist() == [[1, 0, 0, 1], [1, 1, 0, 1]]  # 1.45: one
    assert drop_and_grow(WEIGHT, MASK, 0.09, GRADIENT).tolist() == MASK.tolist()  # 0.45: none


def test_what_was_dropped_grows_again_only_where_nothing_else_is_left():
    # All five are to go, three places are empty: the two largest weights stay.
    assert drop_and_grow(WEIGHT, MASK, 1.0, GRADIENT).tolist() == [[1, 1, 0, 1], [1, 0, 1, 0]]
    full = np.ones((2, 3), np.uint8)
    assert drop_and_grow(np.arange(6.0).reshape(2, 3), full, 0.7, np.ones((2, 3))).tolist() == full.tolist()


def test_ties_go_to_the_lower_index():
    weight, mask = np.array([0.3, 0.3, 0.3, 0.0, 0.0, 0.0]), np.array([1, 1, 1, 0, 0, 0], np.uint8)
    assert drop_and_grow(weight, mask, 0.4, np.zeros(6)).tolist() == [1, 1, 0, 1, 0, 0]


def test_a_kept_weight_that_is_zero_counts_as_kept():
    assert drop_and_grow(np.zeros(4), np.array([0, 1, 1, 0]), 0.5, np.array([0.1, 0, 0, 0.2])).tolist() == [0, 1, 0, 1]


@given(
    st.integers(1, 40).flatmap(
        lambda size: st.tuples(
            arrays(np.float32, size, elements=st.floats(-2, 2, width=32)),
            arrays(np.uint8, size, elements=st.integers(0, 1)),
            arrays(np.float32, size, elements=st.floats(0, 3, width=32)),
        )
    ),
    st.floats(0, 1),
)
def test_counts_are_preserved_and_nothing_dropped_grows(layer, fraction):
    weight, mask, score = layer
    after = drop_and_grow(weight * mask, mask, fraction, score)
    kept = int(mask.sum())
    changed = min(round(fraction * kept), mask.size - kept)
    assert after.sum() == kept
    assert int(((after == 1) & (mask == 0)).sum()) == int(((after == 0) & (mask == 1)).sum()) == changed
    stay, gone = np.abs(weight[(after & mask) == 1]), np.abs(weight[(mask == 1) & (after == 0)])
    assert not gone.size or not stay.size or gone.max() <= stay.min()
