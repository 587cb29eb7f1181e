"""A table of cells as text: Markdown, LaTeX (booktabs), HTML, and CSV with all its numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from tost_tf.report.tables import LEVEL

MISSING = "–"
VALUE = "value"  # stands for the names of the values among the keys of rows and columns
LATEX = {"±": r"$\pm$", "–": "--", "×": r"$\times$"}


@dataclasses.dataclass(frozen=True)
class Quantity:
    """How numbers of a kind are written: multiplied by `scale`, with `decimals` decimals, and `unit` in the caption."""

    scale: float = 1.0
    decimals: int = 4
    unit: str = ""

    def text(self, number: float, sign: str = "") -> str:
        return "" if math.isnan(number) else f"{self.scale * number:{sign},.{self.decimals}f}"

    def plain(self, number: float, sign: str = "") -> str:
        """Without separators, for CSV."""
        return self.text(number, sign).replace(",", "")


def quantity(name: str) -> Quantity:
    """How the numbers of a value are written, chosen by its name: accuracies in percent, seconds, counts."""
    last = name.rpartition(".")[2]
    if "accuracy" in last:
        return Quantity(100.0, 2, "%")
    if "seconds" in last:
        return Quantity(1.0, 1, "s")
    if any(word in last for word in ("parameters", "macs", "epoch", "layers", "bytes")):
        return Quantity(1.0, 0)
    return Quantity()


def grid(table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """The texts of cells, rows by columns; a cell without a finished run is `MISSING`.

    A cell has the mean ± standard deviation and, after a semicolon, the gain over the baseline ± its standard error,
    with a * if it is significant. The number of seeds is given if cells differ in it (see `caption`).

    Args:
      table: from `cells`.
      rows: keys, or "value", that together name a row.
      columns: the same for a column.
    """
    with_seeds = len(seed_counts(table)) > 1
    places = [(tuple(row[list(rows)]), tuple(row[list(columns)])) for _, row in table.iterrows()]
    texts = dict(zip(places, (_cell(row, with_seeds) for _, row in table.iterrows()), strict=True))
    rows_found, columns_found = (list(dict.fromkeys(side)) for side in zip(*places, strict=True))
    content = [[texts.get((row, column), MISSING) for column in columns_found] for row in rows_found]
    frame = pd.DataFrame(content, columns=[_heading(columns, column) for column in columns_found])
    for place, key in enumerate(rows):
        frame.insert(place, key, [_name(row[place]) for row in rows_found])
    return frame


def seed_counts(table: pd.DataFrame) -> set[int]:
    """The numbers of seeds that occur, except 0."""
    return set(table["seeds"]) - {0}


def caption(table: pd.DataFrame, baseline: Mapping[str, object] | None) -> str:
    """Explains the numbers of `grid`, in one or two sentences."""
    units = [
        f"{name}{f' in {quantity(name).unit}' if quantity(name).unit else ''}" for name in dict.fromkeys(table["value"])
    ]
    counts = seed_counts(table)
    over = (
        f" over {max(counts)} seed{'s' if max(counts) > 1 else ''}"
        if len(counts) == 1
        else " over seeds (n: their number)"
    )
    text = (
        f"{', '.join(units[:6])}{', ...' if len(units) > 6 else ''}: mean ± standard deviation{over if counts else ''}"
    )
    if baseline and table["difference"].notna().any():
        named = ", ".join(f"{key}={value}" for key, value in baseline.items())
        text += f"; then the paired gain over {named} ± its standard error, * if p < {LEVEL} in "
        text += "a paired t-test, of three pairs or more"
    return f"{text}. {MISSING}: no finished run." if (table["seeds"] == 0).any() else f"{text}."


def to_markdown(frame: pd.DataFrame, note: str) -> str:
    return f"{frame.to_markdown(index=False, disable_numparse=True)}\n\n{note}\n"


def to_latex(frame: pd.DataFrame, note: str) -> str:
    """Needs `\\usepackage{booktabs}`."""
    escaped = frame.map(_latex).rename(columns=_latex)
    kinds = "l" * sum(not name.count("=") for name in frame.columns) + "r" * sum("=" in name for name in frame.columns)
    table = escaped.to_latex(index=False, escape=False, caption=_latex(note), column_format=kinds, position="tb")
    return table.replace("\\begin{table}[tb]\n", "\\begin{table}[tb]\n\\centering\n")


def to_csv(table: pd.DataFrame, keys: Sequence[str]) -> str:
    """All numbers of `cells`, a line for each cell, in the units of `grid`."""
    texts = table.copy()
    kinds = [quantity(name) for name in texts["value"]]
    for name, sign in (("mean", ""), ("std", ""), ("difference", "+"), ("standard_error", "")):
        texts[name] = [kind.plain(number, sign) for kind, number in zip(kinds, table[name], strict=True)]
    texts["values"] = [" ".join(map(kind.plain, found)) for kind, found in zip(kinds, table["values"], strict=True)]
    texts["p_value"] = ["" if math.isnan(p_value) else f"{p_value:.3f}" for p_value in table["p_value"]]
    texts["significant"] = ["*" if significant else "" for significant in table["significant"]]
    others = [name for name in texts.columns if name not in ("value", *keys)]
    return texts[["value", *keys, *others]].to_csv(index=False, lineterminator="\n")


WRITERS: Mapping[str, Callable[[pd.DataFrame, str], str]] = {"markdown": to_markdown, "latex": to_latex}


def _cell(row: pd.Series, with_seeds: bool) -> str:
    parts = [MISSING]
    if row["seeds"]:
        kind = quantity(row["value"])
        parts = [_plus_minus(kind, row["mean"], row["std"]) + (f" (n = {row['seeds']})" if with_seeds else "")]
        if not math.isnan(row["difference"]):
            gain = _plus_minus(kind, row["difference"], row["standard_error"], "+")
            pairs = f" ({row['pairs']} pairs)" if row["pairs"] != row["seeds"] else ""
            parts.append(f"{gain}{'*' if row['significant'] else ''}{pairs}")
    if row.get("paper"):
        parts.append(f"paper: {row['paper']}")
    return "; ".join(parts)


def _plus_minus(kind: Quantity, mean: float, error: float, sign: str = "") -> str:
    return kind.text(mean, sign) + ("" if math.isnan(error) else f" ± {kind.text(error)}")


def _heading(keys: Sequence[str], values: Sequence[object]) -> str:
    named = (_name(value) if key == VALUE else f"{key}={_name(value)}" for key, value in zip(keys, values, strict=True))
    return ", ".join(named) or "all"


def _name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _latex(text: str) -> str:
    for special in "\\&%$#_{}~^":
        text = text.replace(
            special,
            {"\\": r"\textbackslash ", "~": r"\textasciitilde ", "^": r"\textasciicircum "}.get(
                special, f"\\{special}"
            ),
        )
    for sign, command in LATEX.items():
        text = text.replace(sign, command)
    return text
