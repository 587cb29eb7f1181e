"""How likely crops are, by numbers computed by hand."""

import pytest

from tost_tf.data.adaptive_crops import crop_probability, epochs_ahead


@pytest.mark.parametrize(("gap", "probability"), [(-0.3, 0), (0.02, 0), (0.04, 0.25), (0.08, 0.75), (0.1, 1), (0.4, 1)])
def test_probability_by_hand(gap, probability):
    assert crop_probability(gap) == pytest.approx(probability, abs=1e-12)


@pytest.mark.parametrize(("steps", "epochs"), [(1, 64), (12, 6), (63, 2), (64, 1), (352, 1)])
def test_no_epoch_that_may_be_drawn_is_decided_on(steps, epochs):
    assert epochs_ahead(steps) == epochs
