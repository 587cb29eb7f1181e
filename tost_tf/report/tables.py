"""Tables of runs: mean and standard deviation over seeds, and paired gains over a baseline."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tost_tf.errors import TostError

SEED, RUN = "seed", "run"
NUMBERS = ("mean", "std", "seeds", "difference", "standard_error", "pairs", "p_value", "significant", "values")
LEVEL, FEWEST_PAIRS = 0.05, 3  # a difference with a smaller p-value is marked, if there are that many pairs


def cells(
    runs: pd.DataFrame, keys: Sequence[str], values: Sequence[str], baseline: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """The numbers of each cell of a table, for each value.

    A cell holds the runs that agree in all `keys`; their seeds differ. The gain of a cell is the mean over seeds of the
    difference to the baseline's cell, which has the values of `baseline` and the same values for all other keys.

    Args:
      runs: a row for each run, with columns for the keys, "seed", "run" (its name, for errors) and the numbers of the
        values (`column_of`), which are NaN if the run is not finished.
      keys: columns that together identify a cell, in the order of the table.
      values: names of values.
      baseline: some of the keys and their values in the baseline; `None` for no gains.

    Returns:
      A row for each value and cell that has a run, finished or not, with the columns "value", the keys, and `NUMBERS`:
      mean, standard deviation (n - 1; NaN for one seed), number of seeds, mean difference to the baseline, its standard
      error (NaN for one pair), the number of pairs, the p-value of a paired t-test (two-sided, NaN for one pair and
      where no pair differs), whether it is below 0.05 for at least three pairs, and the single values by seed.

    Raises:
      TostError: two runs of one cell have the same seed.
    """
    require_one_run_a_seed(runs, keys)
    groups = {_tuple(cell): group for cell, group in runs.groupby(list(keys), sort=False, dropna=False)}
    rows = []
    for value in values:
        by_seed = {
            cell: group.set_index(SEED)[column_of(value)].dropna().sort_index() for cell, group in groups.items()
        }
        for cell, own in by_seed.items():
            named = dict(zip(keys, cell, strict=True))
            rows.append({"value": value, **named, **_spread(own), **_gain(own, by_seed, named, baseline or {})})
    table = pd.DataFrame(rows, columns=["value", *keys, *NUMBERS])
    return _ordered(table, keys, baseline or {})


def column_of(value: str) -> str:
    """The column with the numbers of a value, whose name may also be that of a key: the sparsity, asked and found."""
    return f"number {value}"


def require_one_run_a_seed(runs: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raises `TostError` if two runs of a cell have the same seed: they could not be paired."""
    for cell, group in runs.groupby([*keys, SEED], sort=False, dropna=False):
        if len(group) > 1:
            first, second = group[RUN].iloc[:2]
            named = ", ".join(f"{key}={value}" for key, value in zip((*keys, SEED), cell, strict=True))
            raise TostError(f"{first!r} and {second!r} would be in the same cell of the table ({named})")


def _tuple(cell: Any) -> tuple:
    return cell if isinstance(cell, tuple) else (cell,)


def _spread(own: pd.Series) -> dict[str, Any]:
    return {
        "mean": own.mean(),
        "std": own.std(ddof=1) if len(own) > 1 else np.nan,
        "seeds": len(own),
        "values": tuple(own),
    }


def _gain(
    own: pd.Series, by_seed: Mapping[tuple, pd.Series], named: dict[str, Any], baseline: Mapping[str, Any]
) -> dict[str, Any]:
    """The paired difference to the baseline's cell; NaN for the baseline itself and if there are no pairs."""
    nothing = {"difference": np.nan, "standard_error": np.nan, "pairs": 0, "p_value": np.nan, "significant": False}
    if not baseline or all(named[key] == value for key, value in baseline.items()):
        return nothing
    base = by_seed.get(tuple((named | dict(baseline)).values()))
    if base is None:
        return nothing
    differences = (own - base).dropna()
    if differences.empty:
        return nothing
    pairs = len(differences)
    mean = differences.mean()
    error = stats.sem(differences) if pairs > 1 else np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # differences that are all alike, as accuracies may be
        p_value = stats.ttest_1samp(differences, 0).pvalue if pairs > 1 else np.nan
    return {
        "difference": mean,
        "standard_error": error,
        "pairs": pairs,
        "p_value": p_value,
        "significant": bool(pairs >= FEWEST_PAIRS and p_value < LEVEL),
    }


def _ordered(table: pd.DataFrame, keys: Sequence[str], baseline: Mapping[str, Any]) -> pd.DataFrame:
    """The rows sorted by their keys: numbers by size, names in their first order, the baseline first."""
    places = {}
    for key in keys:
        found = list(dict.fromkeys(table[key]))
        if all(isinstance(value, (int, float)) for value in found):
            found.sort()
        if key in baseline:
            found.sort(key=lambda value, first=baseline[key]: value != first)
        places[key] = {value: place for place, value in enumerate(found)}
    order = table[list(keys)].apply(lambda column: column.map(places[column.name]))
    by_value = table["value"].map({value: place for place, value in enumerate(dict.fromkeys(table["value"]))})
    order = order.assign(_value=by_value).sort_values(["_value", *keys], kind="stable")
    return table.loc[order.index].reset_index(drop=True)
