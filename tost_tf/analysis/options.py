"""How finely an analysis looks."""

from __future__ import annotations

import dataclasses

from tost_tf.options import option


@dataclasses.dataclass(frozen=True)
class AnalysisOptions:
    """The options of all analyses."""

    examples: int = option(500, "images the losses and the Hessian are computed on", minimum=1)
    iterations: int = option(30, "Lanczos iterations, at most", minimum=1)
    points: int = option(15, "points of a line or of a grid's side", minimum=3, maximum=1001)
    reach: float = option(1.0, "how far lines and grids reach", above=0)
    epsilon: float = option(0.01, "activations below this count as near zero", above=0)
    seed: int = option(0, "seed of random directions", minimum=0)
