"""The options of `tost-report`."""

from __future__ import annotations

import dataclasses

from tost_tf.options import option

FIGURES = ("accuracy", "breakdown", "ghostliness", "curves", "latency", "seconds")
FORMATS = ("markdown", "csv", "latex")


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What is shown of the runs in the given folders, and how."""

    rows: str = option(
        "mask,recipe",
        "what identifies a row, separated by commas: options, axes of a sweep's cases, ghosts, ghost_end, value",
    )
    columns: str = option("sparsity", "the same for a column; may be empty")
    value: str = option(
        "test_accuracy",
        "numbers in result.json, separated by commas, such as test_accuracy_last,train_seconds,nonzero_parameters; "
        "nested ones as paths with dots (tickets.0.test_accuracy); also end_accuracy, layer_density",
    )
    baseline: str = option(
        "",
        "the cells gains are computed against, such as recipe=default (the default if there are such runs); none for "
        "no gains",
    )
    where: str = option("", "use only runs with these options, such as dataset=cifar10,epochs=90")
    format: str = option("markdown", "format of the printed table", names=FORMATS)
    out: str = option(
        "", "folder for the table in all formats, the figures and the page; by default the table is only printed"
    )
    figures: str = option("", f"figures to draw into --out, separated by commas: {', '.join(FIGURES)}; or all")
    html: bool = option(False, "one page with the table, the figures and all runs: report.html in --out, or in RUNS")
    against_paper: bool = option(False, "compare with the paper's numbers, from benchmarks/paper_numbers.csv")
