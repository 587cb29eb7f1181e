"""Bars in terminals, lines elsewhere."""

import pytest

from tost_tf import progress as module
from tost_tf.progress import duration_text, progress


def test_elsewhere_than_in_a_terminal_a_line_comes_every_ten_seconds(monkeypatch, capsys):
    clock = iter([100.0, 100.0, 104.0, 111.0, 115.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    assert list(progress(range(5, 9), "counting")) == [5, 6, 7, 8]
    # After two of four, which took 11 seconds.
    assert capsys.readouterr().out == "  counting: 2 of 4, about 11 s left\n"


def test_quick_work_prints_nothing(capsys):
    assert list(progress(iter("abc"), "reading")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_in_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    assert "counting:   0%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12000, "3 h 20 min")]
)
def test_durations_as_people_say_them(seconds, text):
    assert duration_text(seconds) == text
