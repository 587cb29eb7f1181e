"""The loss along the top eigenvector of the Hessian (ToST, Figure 8)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tost_tf.analysis.analysis import Analysis, Results, Subject
from tost_tf.analysis.hessian import of_training_images, top_eigenvalues
from tost_tf.analysis.landscape import loss_along_direction
from tost_tf.analysis.options import AnalysisOptions
from tost_tf.drawing import COLOURS, line_style, save, titled_axes


def _compute(subject: Subject, options: AnalysisOptions) -> list[dict]:
    _, direction = top_eigenvalues(of_training_images(subject, options), 1, options.iterations)
    distances = np.linspace(-options.reach, options.reach, 2 * (options.points // 2) + 1)
    images, labels = subject.examples(subject.data.test, options.examples)
    return loss_along_direction(subject.model, direction, distances, images, labels)


def draw_eigenvector(results: Results, path: Path, title: str) -> None:
    """Lines: the test loss along the top eigenvector (Figure 8 of the paper)."""
    figure, axes = titled_axes(title)
    for number, (label, rows) in enumerate(results.items()):
        places, losses = ([row[key] for row in rows] for key in ("distance", "loss"))
        axes.plot(places, losses, line_style(number), color=COLOURS[number % 4], label=label)
    axes.set_xlabel("distance along the top eigenvector (unit vector of kept weights)")
    axes.set_ylabel("test loss")
    axes.legend()
    save(figure, path)


ANALYSIS = Analysis(draw_eigenvector, "loss along the top eigenvector", _compute)
