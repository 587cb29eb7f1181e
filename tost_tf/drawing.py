"""What all figures share: colours, axes, and how files are written."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib import matplotlib_fname
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tost_tf.errors import TostError
from tost_tf.files import replaced_file

# Okabe and Ito's palette: colour-blind readers can distinguish it.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
COLOURS = (BLUE, ORANGE, GREEN, GREY)


def titled_axes(title: str, height: float = 4.5) -> tuple[Figure, Axes]:
    """A figure with one panel."""
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    return figure, axes


def line_style(number: int) -> str:
    """The line style of curve `number`: curves differ without colours too."""
    return ("-", "--", ":", "-.")[number % 4]


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG, completely or not at all."""
    with replaced_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def require_drawing() -> None:
    """Raises `TostError` if matplotlib cannot draw here, for example if its settings need a LaTeX that is missing."""
    figure = Figure(figsize=(2, 1))
    figure.suptitle("α")
    try:
        figure.savefig(io.BytesIO(), format="png")
    except Exception as error:  # its type depends on the settings
        reason = " ".join(str(error).split())[:200]
        raise TostError(
            f"matplotlib cannot draw the figures of a run ({reason}): its settings are in {matplotlib_fname()}"
        ) from error
