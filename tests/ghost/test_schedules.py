import math

import pytest

from tost_tf.registry import GHOST_SCHEDULES


def test_values_by_hand():
    assert GHOST_SCHEDULES["linear"](0.3) == pytest.approx(0.7)
    assert GHOST_SCHEDULES["delayed"](0.4) == 1 and GHOST_SCHEDULES["delayed"](0.7) == pytest.approx(0.6)
    assert GHOST_SCHEDULES["cosine"](1 / 3) == pytest.approx(0.75)
    assert GHOST_SCHEDULES["exponential"](0.2) == pytest.approx((math.exp(-1) - math.exp(-5)) / (1 - math.exp(-5)))
    assert GHOST_SCHEDULES["constant"](0.999) == 1


@pytest.mark.parametrize("name", ["linear", "delayed", "cosine", "exponential", "constant"])
def test_from_one_to_zero_never_rising(name):
    schedule = GHOST_SCHEDULES[name]
    values = [schedule(step / 50) for step in range(51)]
    assert values[0] == pytest.approx(1) and values[-1] == pytest.approx(0, abs=1e-12)
    assert all(later <= earlier for earlier, later in zip(values, values[1:], strict=False))
