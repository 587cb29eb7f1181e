"""Writes the project's address, which is set in pyproject.toml, into the notebooks and the pages that need it.

python colab/addresses.py     (or: make addresses)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def project() -> str:
    """OWNER/tost_tf of the setting."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    return urls["Source"].removeprefix("https://github.com/")


def pages() -> Iterator[Path]:
    """The files with addresses in them."""
    yield from sorted((ROOT / "colab").glob("*.ipynb"))
    yield from (ROOT / name for name in ("README.md", "BUILD.md"))


def addressed(text: str) -> str:
    """The text with the address of the setting wherever GitHub's or Colab's address of the project stands."""
    return re.sub(r"(github(?:\.com)?/)[\w.-]+/tost_tf\b", rf"\g<1>{project()}", text)


if __name__ == "__main__":
    for page in pages():
        page.write_text(addressed(page.read_text()))
