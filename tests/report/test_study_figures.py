"""Figures of many runs, by what they show."""

import pytest

from tost_tf.report import study_figures
from tost_tf.report.study_figures import accuracy_by_latency, mean_latencies


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
