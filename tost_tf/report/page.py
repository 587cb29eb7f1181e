"""One page of HTML for a folder of runs: a single file that opens without a server."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import pandas as pd
from jinja2 import Environment

from tost_tf.files import write_text

TEMPLATE = "page.html"


@dataclasses.dataclass(frozen=True)
class RunEntry:
    """What the page shows about one run.

    Attributes:
      name: of the run.
      state: "finished", "failed", "unfinished" or "pending".
      error: the reason if it failed.
      numbers: name -> text, from its result.
      options: name -> text, the options that differ between runs.
      figures: PNG files of the run.
    """

    name: str
    state: str
    error: str
    numbers: Mapping[str, str]
    options: Mapping[str, str]
    figures: Sequence[Path]


def write_page(
    path: Path,
    title: str,
    table: pd.DataFrame,
    note: str,
    figures: Sequence[Path],
    runs: Sequence[RunEntry],
    common: Mapping[str, str],
    problems: Mapping[str, str],
) -> None:
    """Writes the page, completely or not at all; it contains the figures.

    Args:
      path: the HTML file.
      title: of the page.
      table: the texts of the table's cells.
      note: the caption of the table.
      figures: PNG files about all runs.
      runs: all of them, finished or not.
      common: the options that all runs share.
      problems: folder or file -> what is wrong with it.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["picture"] = _picture
    template = environment.from_string(resources.files("tost_tf.report").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    write_text(
        path,
        template.render(
            title=title,
            table=table.to_html(index=False, border=0, classes="cells"),
            note=note,
            figures=figures,
            runs=runs,
            options=list(dict.fromkeys(name for run in runs for name in run.options)),
            numbers=list(dict.fromkeys(name for run in runs for name in run.numbers)),
            common=common,
            problems=problems,
        ),
    )


def _picture(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
