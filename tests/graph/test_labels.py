import numpy as np
import pytest

from tost_tf.errors import TostError
from tost_tf.graph.labels import one_hot

EXPECTED = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_integers_become_one_hot():
    for labels in (np.array([2, 0, 1]), np.array([[2], [0], [1]], np.uint8)):
        np.testing.assert_array_equal(one_hot(labels, 3), EXPECTED)


def test_one_hot_and_soft_labels_stay():
    soft = np.array([[0.3, 0.7], [0.9, 0.1]])
    assert one_hot(soft, 2) is soft
    whole = np.array(EXPECTED)
    assert one_hot(whole, 3) is whole


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.3, 1.0]), r"labels of shape \[2\] and type float64 do not fit 3 classes"),
        (np.zeros((2, 4)), r"labels of shape \[2, 4\]"),
        (np.zeros((2, 1, 3), int), r"labels of shape \[2, 1, 3\]"),
        (np.array([0, 3]), "a label is 3, the model has 3 classes: labels count from 0 to 2"),
        (np.array([[-1]]), "a label is -1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(TostError, match=message):
        one_hot(labels, 3)


def test_one_logit_needs_a_loss_of_its_own():
    with pytest.raises(TostError, match="the model has one logit, .*BinaryCrossentropy"):
        one_hot(np.array([0, 1]), 1)
