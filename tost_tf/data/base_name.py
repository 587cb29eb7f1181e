"""The name of a dataset without what is added to it."""

from __future__ import annotations

import re


def base_name(dataset: str) -> str:
    """The name without configuration and version: "emnist" of "emnist/letters:3.1.0"."""
    return re.split("[/:]", dataset, maxsplit=1)[0]
