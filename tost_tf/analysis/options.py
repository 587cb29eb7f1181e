"""The options of analyses."""

from __future__ import annotations

import dataclasses

from tost_tf.options import option


@dataclasses.dataclass(frozen=True)
class AnalysisOptions:
    """The options of all analyses."""

    examples: int = option(500, "number of images for the losses and the Hessian", minimum=1)
    iterations: int = option(30, "maximum number of Lanczos iterations", minimum=1)
    points: int = option(15, "points on a line or on each side of a grid", minimum=3, maximum=1001)
    reach: float = option(1.0, "lines and grids go from -reach to reach", above=0)
    epsilon: float = option(0.01, "activations below this count as near zero", above=0)
    seed: int = option(0, "seed of random directions", minimum=0)
