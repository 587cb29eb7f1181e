"""The options of `tost-report`."""

from __future__ import annotations

import dataclasses

from tost_tf.options import option

FIGURES = ("accuracy", "breakdown", "ghostliness", "curves")
FORMATS = ("markdown", "csv", "latex")


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What is shown of the runs in the folders that are named, and how."""

    rows: str = option(
        "mask,recipe", "what makes a row: options, names of a sweep's cases, ghosts, ghost_end, value; with commas"
    )
    columns: str = option("sparsity", "the same of a column; may be empty")
    value: str = option(
        "test_accuracy",
        "numbers of result.json, with commas between them, as test_accuracy_last, train_seconds, nonzero_parameters; "
        "a path with dots for one inside another (tickets.0.test_accuracy); also end_accuracy, layer_density",
    )
    baseline: str = option(
        "",
        "what gains are taken from, as recipe=default (which it is by default, where it is a row); none for no gains",
    )
    where: str = option("", "only runs with these, as dataset=cifar10,epochs=90")
    format: str = option("markdown", "of the table that is printed", names=FORMATS)
    out: str = option(
        "", "folder of the table in all formats, and of figures and the page; by default it is printed only"
    )
    figures: str = option("", f"figures to draw into --out, with commas: {', '.join(FIGURES)}; or all")
    html: bool = option(False, "one page with the table, the figures and every run: report.html in --out, or in RUNS")
    against_paper: bool = option(False, "the paper's numbers beside the own, from benchmarks/paper_numbers.csv")
