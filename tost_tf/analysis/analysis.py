"""What an analysis of a trained network is."""

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
      model: its weights are those that would be exported; the view in use is what they are for.
      masks: of its prunable weights, `None` for a dense network.
      data: what it was trained on.
    """

    model: GhostModel
    masks: Masks | None
    data: ImageData

    def examples(self, part: LabelledImages, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first images of a part of the data as the network takes them, and their one-hot labels."""
        return first_examples(self.data, part, count)


@dataclasses.dataclass(frozen=True)
class Analysis:
    """How numbers are made and drawn. One of one's own is registered as kind "analysis".

    Attributes:
      draw: draws the rows of one network or of several into one figure: results, the PNG file, the title.
      title: of the figure.
      compute: gives rows of numbers, all with the same keys; `None` where they are recorded while a network trains.
      recorded_by: the option that records them, and a good value: "hessian_every=1".
    """

    draw: Callable[[Results, Path, str], None]
    title: str
    compute: Callable[[Subject, AnalysisOptions], list[dict]] | None = None
    recorded_by: str = ""
