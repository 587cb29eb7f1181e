"""Compares tables of runs with the paper's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tost_tf.errors import TostError

FACTS = ("dataset", "model", "mask", "recipe", "sparsity")  # what identifies a number of the paper
COLUMNS = ("where", *FACTS, "quantity", "mean", "std")
ACCURACY, DIFFERENCE = "accuracy", "difference"


def read_paper(path: Path) -> pd.DataFrame:
    """The paper's numbers, one in each row: accuracies in percent, differences in percentage points.

    Raises:
      TostError: the file is missing or is not such a table.
    """
    try:
        paper = pd.read_csv(
            path, keep_default_na=False, na_values={"std": [""]}, dtype={"sparsity": float, "mean": float}
        )
    except (OSError, ValueError) as error:
        raise TostError(f"the paper's numbers cannot be read from {str(path)!r}: {error}") from None
    missing = [name for name in COLUMNS if name not in paper]
    if missing:
        raise TostError(f"{str(path)!r} is not a table of the paper's numbers: it has no column {missing[0]!r}")
    return paper


def beside_paper(table: pd.DataFrame, facts: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """The table of `cells` with columns for the paper: its mean, standard deviation, difference, and all as one text.

    Args:
      table: from `report.tables.cells`.
      facts: with the columns `FACTS`, a row for each row of the table; NaN if the runs of a cell differ in a fact.
      paper: from `read_paper`.
    """
    found = [_of_cell(row, paper) for _, row in facts.iterrows()]
    accuracy = table["value"].str.contains(ACCURACY).to_numpy()
    columns = {name: [numbers[name] for numbers in found] for name in ("paper_mean", "paper_std", "paper_difference")}
    own = table.assign(**columns)
    own.loc[~accuracy, list(columns)] = np.nan
    return own.assign(paper=[_text(row) for _, row in own.iterrows()])


def _of_cell(facts: pd.Series, paper: pd.DataFrame) -> dict[str, float]:
    same = paper[np.logical_and.reduce([paper[name] == facts[name] for name in FACTS])]
    accuracy, difference = (same[same["quantity"] == kind] for kind in (ACCURACY, DIFFERENCE))
    return {
        "paper_mean": accuracy["mean"].iloc[0] if len(accuracy) else np.nan,
        "paper_std": accuracy["std"].iloc[0] if len(accuracy) else np.nan,
        "paper_difference": difference["mean"].iloc[0] if len(difference) else np.nan,
    }


def _text(row: pd.Series) -> str:
    parts = []
    if pd.notna(row["paper_mean"]):
        error = f" ± {row['paper_std']:.2f}" if pd.notna(row["paper_std"]) else ""
        parts.append(f"{row['paper_mean']:.2f}{error}")
    if pd.notna(row["paper_difference"]):
        parts.append(f"{row['paper_difference']:+.2f}")
    return ", ".join(parts)
