"""The options of `tost-analyze`."""

from __future__ import annotations

import dataclasses

from tost_tf.analysis.options import AnalysisOptions
from tost_tf.options import option
from tost_tf.registry import ANALYSES


@dataclasses.dataclass(frozen=True)
class AnalyzeOptions(AnalysisOptions):
    """What is analysed, and how."""

    run_dir: str = option("", "folder of the run")
    what: str = option("all", f"names separated by commas, or all: {', '.join(ANALYSES)}")
    compare: str = option("", "compare several runs, with one figure for each analysis (--compare RUN_A RUN_B)")
    out: str = option("", "folder of the figures of a comparison (by default named after the runs)")
