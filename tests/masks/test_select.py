import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tost_tf.errors import TostError
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.unstructured import Unstructured
from tost_tf.masks.quota import Quota, nearest_together
from tost_tf.masks.select import highest_in_rows, require_finite, without_pruned


def selected(scores, quota):
    kernels = {path: (score.shape, ()) for path, score in scores.items()}
    return Masks(Unstructured().selection_of(kernels).select(scores, quota))


def highest_of_all(scores, sparsity):
    return selected(scores, Quota(together=kept_count(sum(score.size for score in scores.values()), sparsity)))


def highest_by_layer(scores, kept):
    return selected(scores, Quota(kept))


def test_highest_of_all_by_hand():
    scores = {"a": np.array([[0.3, -2.0], [5.0, 0.1]]), "b": np.array([4.0, 0.2])}
    masks = highest_of_all(scores, 0.5)
    assert masks["a"].tolist() == [[1, 0], [1, 0]] and masks["b"].tolist() == [1, 0]


def test_highest_by_layer_by_hand():
    scores = {"a": np.array([[0.3, -2.0], [5.0, 0.1]]), "b": np.array([4.0, 0.2])}
    masks = highest_by_layer(scores, {"a": 3, "b": 0})
    assert masks["a"].tolist() == [[1, 0], [1, 1]] and masks["b"].tolist() == [0, 0]


def test_a_layer_with_too_few_weights_left_is_named():
    scores = {"a": np.array([[0.3, -2.0], [5.0, 0.1]]), "b": np.array([-np.inf, 0.2, -np.inf])}
    with pytest.raises(TostError, match="2 weights of b cannot be kept: only 1 are not yet pruned"):
        highest_by_layer(scores, {"a": 1, "b": 2})


def test_ties_go_to_the_lower_index():
    scores = {"a": np.array([1.0, 2.0, 1.0]), "b": np.array([2.0, 1.0, 1.0])}
    masks = highest_of_all(scores, 1 - 3 / 6)
    assert masks["a"].tolist() == [1, 1, 0] and masks["b"].tolist() == [1, 0, 0]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=60),
    st.integers(1, 59),
    st.floats(0, 0.99),
    st.floats(0, 0.99),
)
def test_counts_are_exact_and_sparser_masks_lie_inside(values, cut, sparsity, other):
    values = np.array(values, float)
    scores = {"a": values[:cut], "b": values[cut:]} if 0 < cut < len(values) else {"a": values}
    sparse, dense = highest_of_all(scores, max(sparsity, other)), highest_of_all(scores, min(sparsity, other))
    assert sparse.kept == kept_count(values.size, max(sparsity, other))
    for path in scores:
        assert np.all(sparse[path] <= dense[path])


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(TostError, match="the score of b is not finite"):
        require_finite({"a": np.ones(2), "b": np.array([1, np.nan])})


@settings(deadline=None)
@given(st.permutations(range(4)), st.floats(0, 0.99), st.integers(0, 2**31))
def test_order_of_layers_does_not_matter_beyond_ties(order, sparsity, seed):
    generator = np.random.default_rng(seed)
    scores = {f"layer{number}": generator.random((number + 1, 5)) for number in range(4)}
    expected = highest_of_all(scores, sparsity)
    found = highest_of_all({f"layer{number}": scores[f"layer{number}"] for number in order}, sparsity)
    for path in scores:
        np.testing.assert_array_equal(found[path], expected[path])


def test_pruned_weights_are_never_kept_even_if_all_scores_are_negative():
    scores = {"a": np.array([-3.0, -1.0, 0.0, -2.0])}
    masks = highest_of_all(without_pruned(scores, {"a": np.array([1, 1, 0, 1])}), 0.5)
    assert masks["a"].tolist() == [0, 1, 0, 1]
    with pytest.raises(TostError, match="4 weights cannot be kept: only 3 are not yet pruned"):
        highest_of_all(without_pruned(scores, {"a": np.array([1, 1, 0, 1])}), 0.0)


def test_numbers_by_hand_by_layer_and_all_others_together():
    scores = {"a": np.array([[0.3, -2.0], [5.0, 0.1]]), "b": np.array([4.0, 0.2]), "c": np.array([6.0, 7.0, 8.0])}
    masks = selected(scores, Quota({"c": 1}, together=2))
    assert [masks[path].tolist() for path in scores] == [[[0, 0], [1, 0]], [1, 0], [0, 0, 1]]


def test_whole_steps_with_the_nearest_sum():
    # 2.5, 1.4 and 0.2 steps: 2, 1 and at least 1 make 30 of 33, and another of b 35, which is nearer.
    assert nearest_together({"a": 25, "b": 7, "c": 1}, {"a": 10, "b": 5, "c": 5}, {"a": 9, "b": 9, "c": 9}) == {
        "a": 2,
        "b": 2,
        "c": 1,
    }
    # 2.5 and 1.6 steps: 2 and 1 make 25 of 33, one more of b 30, and yet another 35, which is nearer.
    steps = nearest_together({"a": 25, "b": 8}, {"a": 10, "b": 5}, {"a": 9, "b": 9})
    assert steps == {"a": 2, "b": 3}
    assert nearest_together({"a": 25, "b": 8}, {"a": 10, "b": 5}, {"a": 2, "b": 1}) == {"a": 2, "b": 1}


def test_rows_by_hand():
    scores = np.array([[3.0, 1, 3, 3], [-np.inf, -2, -1, -np.inf], [1, 2, 3, 4]])
    assert highest_in_rows(scores, 2).tolist() == [[1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert highest_in_rows(scores, np.array([3, 1, 0])).tolist() == [[1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert highest_in_rows(scores[2:], np.array([3])).tolist() == [[0, 1, 1, 1]]
