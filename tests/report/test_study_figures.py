"""Figures of many runs, by what they show."""

import pytest

from tost_tf.report import study_figures
from tost_tf.report.study_figures import accuracy_by_latency, accuracy_by_seconds, mean_latencies, mean_seconds


def rows(mask: str, accuracy: float, name: str, compacted: float) -> list[dict]:
    return [
        {"mask": mask, "format": name, "threads": threads, "batch": batch, "network": network, "accuracy": accuracy}
        | {"milliseconds": batch * number / threads}
        for threads in (1, 2)
        for batch in (1, 32)
        for network, number in (("dense", 10.0), ("sparse", 10.5), ("compacted", compacted))
    ]


@pytest.fixture
def drawn(monkeypatch):
    """The figures in memory, as they are saved."""
    seen = []
    monkeypatch.setattr(study_figures, "save", lambda figure, path: seen.append(figure))
    return seen


def test_accuracy_by_latency_shows_the_compacted_and_the_dense_network(tmp_path, drawn):
    found = rows("snip", 0.3, "tflite float32", 1.0) + rows("snip", 0.7, "keras3", 7.0)
    found += rows("synflow", 0.4, "keras3", 3.0) + rows("synflow", 0.5, "keras3", 4.0)
    table = mean_latencies(found, ["mask"]).assign(value="test_accuracy")
    accuracy_by_latency(table, ["mask"], tmp_path / "latency.png", "a title")
    one, many = drawn[0].axes
    assert one.get_title() == "keras3, one thread"  # the format that all networks have
    assert [axes.get_xlabel()[-10:] for axes in (one, many)] == ["batch of 1", "atch of 32"]
    assert one.get_ylabel() == "test accuracy in %"
    for axes, batch in ((one, 1), (many, 32)):
        lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 2]
        points = [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in lines]
        assert points == [
            [(7.0 * batch, 70.0), (10.0 * batch, 70.0)],
            [(3.5 * batch, pytest.approx(45.0)), (10.0 * batch, pytest.approx(45.0))],
        ]
        assert all(line.get_markerfacecolor() == "none" and line.get_markevery() == [1] for line in lines)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["snip", "synflow"]


def test_accuracy_by_seconds_has_a_panel_for_each_column(tmp_path, drawn):
    found = [
        {"mask": mask, "recipe": recipe, "accuracy": accuracy, "seconds": seconds}
        for mask, recipe, accuracy, seconds in [
            *(("erk", "default", 0.3, 100.0), ("erk", "default", 0.5, 140.0), ("erk", "tost", 0.7, 250.0)),
            ("snip", "tost", 0.2, 90.0),
        ]
    ]
    table = mean_seconds(found, ["recipe", "mask"]).assign(value="test_accuracy")
    cell = table[(table["mask"] == "erk") & (table["recipe"] == "default")].iloc[0]
    assert (cell["seconds"], cell["seconds_std"], cell["seeds"]) == (120, pytest.approx(800**0.5), 2)
    accuracy_by_seconds(table, ["recipe"], ["mask"], tmp_path / "seconds.png", "a title")
    erk, snip = drawn[0].axes
    assert [axes.get_title() for axes in (erk, snip)] == ["mask=erk", "mask=snip"]
    points = [
        [(bars.lines[0].get_xdata()[0], bars.lines[0].get_ydata()[0]) for bars in axes.containers]
        for axes in (erk, snip)
    ]
    assert points == [[(120, pytest.approx(40.0)), (250, pytest.approx(70.0))], [(90, pytest.approx(20.0))]]
    tost = [axes.containers[-1].lines[0].get_color() for axes in (erk, snip)]
    assert tost[0] == tost[1] != erk.containers[0].lines[0].get_color()  # one colour for a recipe in all panels
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["default", "tost"]
