import math

import pytest

import tost_tf as tost
from tost_tf.errors import TostError
from tost_tf.registry import BETA_SCHEDULES


def test_values_by_hand():
    assert BETA_SCHEDULES["linear"](1, 20, 0.3) == pytest.approx(14.3)
    assert 1 / BETA_SCHEDULES["inverse"](2, 20, 0.3) == pytest.approx(0.05 + 0.45 * 0.3)
    assert math.log(BETA_SCHEDULES["logarithmic"](2, 20, 0.3)) == pytest.approx(0.7 * math.log(20) + 0.3 * math.log(2))


@pytest.mark.parametrize("name", BETA_SCHEDULES)
def test_from_start_to_end(name):
    values = [BETA_SCHEDULES[name](0.5, 30, 1 - step / 50) for step in range(51)]
    assert values[0] == pytest.approx(0.5) and values[-1] == pytest.approx(30)
    assert all(later > earlier for earlier, later in zip(values, values[1:], strict=False))


def test_of_the_callback():
    schedule = tost.GhostSchedule(2, 10, beta_start=2.0, beta_end=8.0, beta_schedule="logarithmic")
    assert schedule.values(5) == (0.75, pytest.approx(2.0 * 4**0.25))
    assert tost.GhostSchedule(**schedule.get_config()).values(5) == schedule.values(5)


def test_from_zero_only_linearly():
    assert tost.GhostSchedule(2, 10, beta_start=0.0).values(5) == (0.75, 5.0)
    with pytest.raises(TostError, match="beta_schedule='inverse' needs beta_start and beta_end above 0"):
        tost.GhostSchedule(2, 10, beta_start=0.0, beta_schedule="inverse")
