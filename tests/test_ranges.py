"""Numbers out of range, in all places that take some, and what they are told."""

import re

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.errors import TostError
from tost_tf.ranges import require_expression, require_number
from tost_tf.training.sign_in import SignIn


@pytest.mark.parametrize(
    ("value", "whole", "bounds", "message"),
    [
        (1.5, False, {"minimum": 0, "below": 1}, "rate is 1.5, it must be at least 0 and below 1"),
        (float("nan"), False, {"above": 0}, "rate is nan, it must be above 0"),
        (float("inf"), False, {}, "rate is inf, it must be finite"),
        (float("inf"), False, {"above": 0}, "rate is inf, it must be finite, above 0"),
        ("0.5", False, {"maximum": 2}, "rate is '0.5', it must be a number, at most 2"),
        (True, False, {}, "rate is True, it must be a number"),
        (2.5, True, {"minimum": 1}, "rate is 2.5, it must be a whole number, at least 1"),
        (None, True, {}, "rate is None, it must be a whole number"),
    ],
)
def test_sentences(value, whole, bounds, message):
    with pytest.raises(TostError, match=f"^{re.escape(message)}$"):
        require_number("rate", value, whole, **bounds)


def test_numbers_of_numpy_are_numbers():
    require_number("rate", np.float32(0.5), minimum=0, below=1)
    require_number("count", np.int64(3), whole=True, minimum=3)


def test_expressions():
    require_expression("layers", "conv[12]")
    with pytest.raises(TostError, match=re.escape("layers='(a' is not a regular expression: ")):
        require_expression("layers", "(a")
    with pytest.raises(TostError, match="layers is 3, it must be a regular expression"):
        require_expression("layers", 3)


CALLS = {
    "momentum is 1, it must be at least 0 and below 1": lambda: tost.OrthogonalSGD(momentum=1.0),
    "weight_decay is -1, it must be at least 0": lambda: tost.LARS(weight_decay=-1),
    "learning_rate is -0.1, it must be at least 0": lambda: tost.OrthogonalSGD(-0.1),
    "sgd_learning_rate_ratio is 0, it must be above 0": lambda: tost.LARS(sgd_learning_rate_ratio=0),
    "nesterov is 'no', it must be True or False": lambda: tost.OrthogonalSGD(nesterov="no"),
    "ns_steps is 2.5, it must be a whole number, at least 1": lambda: tost.OrthogonalSGD(ns_steps=2.5),
    "exclude_layers='(' is not a regular expression": lambda: tost.OrthogonalSGD(exclude_layers="("),
    "beta_start is -1, it must be at least 0": lambda: tost.GhostSchedule(3, beta_start=-1),
    "beta_end is nan, it must be above 0": lambda: tost.GhostSchedule(3, beta_end=float("nan")),
    "steps_per_epoch is 2.5, it must be a whole number": lambda: tost.GhostSchedule(3, 2.5),
    "beta is -1, it must be at least 0": lambda: tost.GhostActivation(beta=-1),
    "decay is '0.9', it must be a number": lambda: tost.WeightAverage("0.9"),
    "balance is 0, it must be above 0": lambda: SignIn(balance=0),
    "sparsity=0.9 has no effect with rigl": lambda: tost.RigL(sparsity=0.9),
}


@pytest.mark.parametrize("message", CALLS)
def test_no_number_out_of_range_is_taken(message):
    with pytest.raises(TostError, match=re.escape(message)):
        CALLS[message]()


def test_a_schedule_that_gives_no_fraction_is_refused():
    schedule = tost.GhostSchedule(2, 3, schedule=lambda progress: 2 * progress)
    assert schedule.values(3)[0] == 1.0
    with pytest.raises(TostError, match=r"gives 1\.3.* at progress 0\.667, it must be in \[0, 1\]"):
        schedule.values(4)


def test_what_a_model_is_made_with(small_model):
    sparse = tost.sparsify(small_model, sparsity=0.3)
    with pytest.raises(TostError, match="beta is nan, it must be at least 0"):
        tost.GhostModel(sparse, beta=float("nan"))
    with pytest.raises(TostError, match="unknown skip initializer 'zeros': known ones are constant, dirac, he_normal"):
        tost.GhostModel(sparse, skip_initializer="zeros")
