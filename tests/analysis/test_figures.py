"""What is drawn is what was measured."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from tost_tf.analysis import activations, eigenvector, gradient_flow, hessian, landscape, mask_statistics, trajectory

CURVE = [{"distance": d, "loss": d * d + 0.1, "accuracy": 0.5} for d in (-1.0, 0.0, 0.7)]
PLANE = [{"x": x, "y": y, "loss": 10 ** (x + 2 * y)} for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws with a function and gives the axes of the figure."""
    figures = []
    save = Figure.savefig

    def keep(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)

    def draw(function, results):
        function(results, tmp_path / "figure.png", "the title")
        assert (tmp_path / "figure.png").stat().st_size > 5000
        return figures[-1].axes

    return draw


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_bars_of_activations_are_the_fractions_by_stage(drawn):
    def row(stage, zero):
        return {"layer": f"{stage}_relu", "stage": stage, "zero": zero, "near_zero": zero + 0.1, "outputs": 10}

    results = {"default": [row("stem", 0.5), row("stage1", 0.25)], "tost": [row("stem", 0.375), row("stage1", 0.125)]}
    (axes,) = drawn(activations.draw_activations, results)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["stem", "stage1"]
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [pytest.approx(w) for w in ([0.6, 0.35], [0.5, 0.25], [0.475, 0.225], [0.375, 0.125])]
    assert legend(axes) == ["default: near 0", "default: exactly 0", "tost: near 0", "tost: exactly 0"]


@pytest.mark.parametrize(
    ("function", "rows", "x", "y"),
    [
        (eigenvector.draw_eigenvector, CURVE, [-1, 0, 0.7], [1.1, 0.1, 0.59]),
        (
            gradient_flow.draw_gradient_flow,
            [{"step": 5, "epoch": 1, "flow": 0.3}, {"step": 10, "epoch": 2, "flow": 0.2}],
            [5, 10],
            [0.3, 0.2],
        ),
        (
            trajectory.draw_trajectory,
            [{"epoch": e, "index": i, "eigenvalue": e / i, "residual": 0.0} for e in (1, 4) for i in (1, 2)],
            [1, 4],
            [1, 4],
        ),
        (
            hessian.draw_hessian,
            [{"index": i, "eigenvalue": 9.0 / i, "residual": 0.0} for i in (1, 2, 3)],
            [1, 2, 3],
            [9, 4.5, 3],
        ),
    ],
)
def test_lines_are_the_rows_a_run_each(drawn, function, rows, x, y):
    (axes,) = drawn(function, {"default": rows, "tost": rows[:1]})
    first, second = axes.get_lines()
    np.testing.assert_allclose(first.get_xdata(), x)
    np.testing.assert_allclose(first.get_ydata(), y)
    assert len(second.get_xdata()) == 1 and legend(axes) == ["default", "tost"]
    assert first.get_color() != second.get_color() and axes.get_xlabel() and axes.get_ylabel()


@pytest.mark.parametrize("function", [landscape.draw_weight_landscape, landscape.draw_input_landscape])
def test_contours_share_their_scale_and_put_x_across(drawn, function):
    left, right, bar = drawn(function, {"default": PLANE, "tost": [row | {"loss": 1.0} for row in PLANE]})
    assert (left.get_title(), right.get_title()) == ("default", "tost")
    contours = left.collections[0]
    # The loss of PLANE is 10 at the right end of the middle row, and 100 at the upper end of the middle column.
    levels = contours.levels
    filled = {
        (x, y): max(
            level for level, shape in zip(levels, contours.get_paths(), strict=False) if shape.contains_point((x, y))
        )
        for x, y in ((0.97, 0.0), (0.0, 0.97))
    }
    assert filled[0.97, 0.0] == pytest.approx(1, abs=0.4) and filled[0.0, 0.97] == pytest.approx(2, abs=0.4)
    assert (contours.get_array().min(), contours.get_array().max()) == pytest.approx((-2.9, 2.9), abs=0.1)
    assert left.get_xlabel().endswith("1") and left.get_ylabel().endswith("2") and "log" in bar.get_ylabel()


def test_bars_of_an_overlap(drawn):
    rows = [{"layer": "a", "overlap": 0.5, "by_chance": 0.2}, {"layer": "b", "overlap": 0.25, "by_chance": 0.1}]
    (axes,) = drawn(mask_statistics.draw_overlap, rows)
    assert [bar.get_width() for bar in axes.containers[0]] == [0.5, 0.25]
    assert list(axes.get_lines()[0].get_xdata()) == [0.2, 0.1]


def test_points_of_a_mask_are_its_fractions_by_layer(drawn):
    rows = [
        {"layer": layer, "density": d, "effective_density": d / 2, "dead_outputs": 0.25, "dead_inputs": 0.0}
        for layer, d in (("a", 0.5), ("b", 0.1))
    ]
    (axes,) = drawn(mask_statistics.draw_mask, {"one": rows})
    assert [list(line.get_xdata()) for line in axes.get_lines()] == [[0.5, 0.1], [0.25, 0.05], [0.25, 0.25]]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    assert legend(axes) == ["density", "effective density", "dead output channels"]
