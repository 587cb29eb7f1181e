import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tost_tf.dynamic.drop_grow import drop_and_grow

WEIGHT = np.array([[0.5, 0.0, -0.1, 0.0], [-0.9, 0.3, 0.0, 0.2]])
MASK = np.array([[1, 0, 1, 0], [1, 1, 0, 1]], np.uint8)
GRADIENT = np.array([[9.0, 0.2, 0.5, 0.7], [9.0, 9.0, 0.6, 0.4]])


def test_the_smallest_are_dropped_and_the_highest_grown():
    # 0.4 of 5 weights: -0.1 and 0.2 go; of all places then 0.7 and 0.6 come. Scores of kept weights mean nothing.
    assert drop_and_grow(WEIGHT, MASK, 0.4, GRADIENT).tolist() == [[1, 0, 0, 1], [1, 1, 1, 0]]


def test_what_was_just_dropped_may_grow_again():
    gradient = np.array([[9.0, 0.2, 0.65, 0.7], [9.0, 9.0, 0.6, 0.4]])
    # -0.1 and 0.2 go; 0.7 comes, and -0.1 by its 0.65.
    assert drop_and_grow(WEIGHT, MASK, 0.4, gradient).tolist() == [[1, 0, 1, 1], [1, 1, 0, 0]]


def test_a_fraction_is_rounded_down():
    assert drop_and_grow(WEIGHT, MASK, 0.39, GRADIENT).tolist() == [[1, 0, 0, 1], [1, 1, 0, 1]]  # 1.95: one
    assert drop_and_grow(WEIGHT, MASK, 0.19, GRADIENT).tolist() == MASK.tolist()  # 0.95: none


def test_everything_may_be_dropped_and_a_full_mask_stays_full():
    # All five are to go; 0.2 and the 0.4 of what was dropped do not come back.
    assert drop_and_grow(WEIGHT, MASK, 1.0, GRADIENT).tolist() == [[1, 0, 0, 1], [1, 1, 1, 0]]
    full = np.ones((2, 3), np.uint8)
    assert drop_and_grow(np.arange(6.0).reshape(2, 3), full, 0.7, np.ones((2, 3))).tolist() == full.tolist()


def test_ties_go_to_the_lower_index():
    weight, mask = np.array([0.0, 0.3, 0.3, 0.3, 0.0, 0.0]), np.array([0, 1, 1, 1, 0, 0], np.uint8)
    assert drop_and_grow(weight, mask, 0.4, np.zeros(6)).tolist() == [1, 1, 1, 0, 0, 0]


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
def test_counts_are_preserved_and_the_best_weights_grow(layer, fraction):
    weight, mask, score = layer
    after = drop_and_grow(weight * mask, mask, fraction, score)
    kept, dropped = int(mask.sum()), math.floor(fraction * int(mask.sum()))
    assert after.sum() == kept
    largest = np.argsort(np.where(mask == 1, -np.abs(weight), np.inf), kind="stable")[: kept - dropped]
    assert after[largest].all()
    others = np.setdiff1d(np.arange(mask.size), largest)
    came, away = score[others][after[others] == 1], score[others][after[others] == 0]
    assert len(came) == dropped and (not came.size or not away.size or came.min() >= away.max())
