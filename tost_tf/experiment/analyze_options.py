"""The options of `tost-analyze`."""

from __future__ import annotations

import dataclasses

from tost_tf.options import option

# What can be asked for; those recorded while training come last.
ANALYSIS_NAMES = (
    *("activations", "hessian", "eigenvector", "weights", "inputs", "mask"),
    *("trajectory", "gradient_flow"),
)
RECORDED = ("trajectory", "gradient_flow")


@dataclasses.dataclass(frozen=True)
class AnalyzeOptions:
    """What is analysed, and how finely."""

    run_dir: str = option("", "folder of the run that is analysed")
    what: str = option("all", f"names with commas between them, or all: {', '.join(ANALYSIS_NAMES)}")
    compare: str = option("", "instead of one run: two or more, drawn into one figure each (--compare RUN_A RUN_B)")
    out: str = option("", "folder of the figures of a comparison (by default a name made of the runs')")
    examples: int = option(500, "images the losses and the Hessian are computed on", minimum=1)
    iterations: int = option(30, "Lanczos iterations, at most", minimum=1)
    points: int = option(15, "points of a line or of a grid's side", minimum=3, maximum=1001)
    reach: float = option(1.0, "how far lines and grids reach", above=0)
    epsilon: float = option(0.01, "activations below this count as near zero", above=0)
    seed: int = option(0, "seed of random directions", minimum=0)
