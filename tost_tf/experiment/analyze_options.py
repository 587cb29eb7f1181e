"""The options of `tost-analyze`."""

from __future__ import annotations

import dataclasses

from tost_tf.analysis.options import AnalysisOptions
from tost_tf.options import option
from tost_tf.registry import ANALYSES


@dataclasses.dataclass(frozen=True)
class AnalyzeOptions(AnalysisOptions):
    """What is analysed, and how finely."""

    run_dir: str = option("", "folder of the run that is analysed")
    what: str = option("all", f"names with commas between them, or all: {', '.join(ANALYSES)}")
    compare: str = option("", "instead of one run: two or more, drawn into one figure each (--compare RUN_A RUN_B)")
    out: str = option("", "folder of the figures of a comparison (by default a name made of the runs')")
