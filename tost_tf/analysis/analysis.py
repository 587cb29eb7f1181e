"""The interface of an analysis of a trained network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tost_tf.analysis.options import AnalysisOptions
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.data.pipeline import first_examples
from tost_tf.ghost.model import GhostModel
from tost_tf.masks.masks import Masks

# Label of a run -> its rows.
Results = Mapping[str, list[dict]]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained network that is analysed.

    Attributes:
      model: with the weights that would be exported, and the view in use that they belong to.
      masks: of its prunable weights, `None` for a dense network.
      data: the dataset it was trained on.
    """

    model: GhostModel
    masks: Masks | None
    data: ImageData

    def examples(self, part: LabelledImages, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first images of a part of the data, preprocessed for the network, and their one-hot labels."""
        return first_examples(self.data, part, count)


@dataclasses.dataclass(frozen=True)
class Analysis:
    """How numbers are computed and drawn. New analyses are registered as kind "analysis".

    Attributes:
      draw: draws the rows of one or more networks into one figure. Arguments: results, the PNG file, the title.
      title: of the figure.
      compute: returns rows of numbers, all with the same keys; `None` if they are recorded during training.
      recorded_by: the option that records them, with a useful value: "hessian_every=1".

    Examples:
      >>> def mean_weight(subject, options):
      ...     return [{"mean": float(np.mean(subject.model.get_weights()[0]))}]
      >>> def draw(results, path, title):
      ...     "Draws the rows of each run into the file `path`."
      >>> mine = tost.analysis.Analysis(draw, "mean of the first kernel", mean_weight)
      >>> analysis = tost.register("analysis", "mean_weight", mine)
    """

    draw: Callable[[Results, Path, str], None]
    title: str
    compute: Callable[[Subject, AnalysisOptions], list[dict]] | None = None
    recorded_by: str = ""
