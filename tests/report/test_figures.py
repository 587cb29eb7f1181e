import matplotlib.image
import pytest

from tost_tf.drawing import require_drawing
from tost_tf.errors import TostError
from tost_tf.report import figures

ROWS = [
    {"epoch": epoch, "loss": 3 / epoch, "val_loss": 4 / epoch, "accuracy": 0.2 * epoch, "val_accuracy": 0.15 * epoch}
    | {"alpha": max(0, 1 - epoch / 2), "beta": 5.0 * epoch if epoch < 3 else float("inf")}
    for epoch in range(1, 5)
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures in memory, as they are saved."""
    seen = []
    save = figures.save
    monkeypatch.setattr(figures, "save", lambda figure, path: (seen.append(figure), save(figure, path)))
    return seen


def test_learning_curves_show_the_numbers(tmp_path, drawn):
    figures.learning_curves(ROWS, 2, tmp_path / "figures/curves.png", "a title")
    loss, accuracy, ghosts, beta = drawn[0].axes
    for axes, names in ((loss, ("loss", "val_loss")), (accuracy, ("accuracy", "val_accuracy")), (ghosts, ("alpha",))):
        for line, name in zip(axes.get_lines(), names, strict=True):
            assert line.get_xdata().tolist() == [1, 2, 3, 4]
            assert line.get_ydata().tolist() == [row[name] for row in ROWS]
    assert beta.get_lines()[0].get_ydata()[:2].tolist() == [5.0, 10.0]
    shaded = loss.patches[0]
    assert (shaded.get_x(), shaded.get_width()) == (0.5, 2.0)
    assert [axes.get_ylabel() for axes in (loss, accuracy, ghosts)] == ["loss", "accuracy", "α"]
    assert matplotlib.image.imread(tmp_path / "figures/curves.png").shape == (1080, 960, 4)


def test_a_title_is_not_read_as_a_formula(tmp_path):
    figures.learning_curves(ROWS, 2, tmp_path / "curves.png", "mask from a$_{$b.npz")
    figures.sparsity_by_layer({"a/kernel": 0.3}, 0.3, tmp_path / "layers.png", "mask from a$_{$b.npz")


def test_settings_with_which_matplotlib_cannot_draw_are_reported(monkeypatch):
    require_drawing()
    monkeypatch.setenv("PATH", "")  # no LaTeX
    with matplotlib.rc_context({"text.usetex": True}), pytest.raises(TostError, match="cannot draw .*latex"):
        require_drawing()


def test_run_without_ghosts_is_not_shaded(tmp_path, drawn):
    figures.learning_curves(ROWS[:1], 0, tmp_path / "curves.png", "one epoch")
    assert not drawn[0].axes[0].patches


def test_sparsity_by_layer_shows_the_numbers(tmp_path, drawn):
    figures.sparsity_by_layer({"a/kernel": 0.3, "deep/b/kernel": 1.0}, 0.7, tmp_path / "sparsity.png", "a title")
    axes = drawn[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.3, 1.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "deep/b"]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()  # the second layer has collapsed
    assert axes.get_lines()[0].get_xdata() == [0.7, 0.7]
    assert (tmp_path / "sparsity.png").exists()


def test_scales_show_the_numbers_and_names(tmp_path, drawn):
    scales = {"a/kernel": 0.7, "in/bn/gamma": 1.3, "in/bn/beta": 1.0, "b/depthwise_kernel": 2.0, "prelu/alpha": 0.4}
    figures.scales_by_tensor(scales, tmp_path / "scales.png", "a title")
    axes = drawn[0].axes[0]
    points = {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}
    assert points["kernel"] == [(0.7, 0), (2.0, 3)] and points["gamma"] == [(1.3, 1)] and points["beta"] == [(1.0, 2)]
    assert points["other"] == [(0.4, 4)]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(scales)
    assert axes.yaxis_inverted()  # the first is on top
    assert (tmp_path / "scales.png").exists()
