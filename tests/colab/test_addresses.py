"""The project's address is set in one place."""

import importlib.util
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("addresses", ROOT / "colab/addresses.py")
addresses = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(addresses)


def test_every_page_has_the_address_of_the_setting():
    pages = list(addresses.pages())
    assert len(pages) >= 6
    for page in pages:
        text = page.read_text()
        assert re.search(r"github(\.com)?/[\w.-]+/tost_tf", text), f"{page.name} has no address"
        assert addresses.addressed(text) == text, f"{page.name}: make addresses"
    if addresses.project().startswith("OWNER/"):
        warnings.warn("the address of the project is not set: [project.urls] in pyproject.toml", stacklevel=1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("git+https://github.com/OLD/tost_tf@main", "git+https://github.com/NEW/tost_tf@main"),
        ("research.google.com/github/OLD/tost_tf/blob/main/x", "research.google.com/github/NEW/tost_tf/blob/main/x"),
        ("https://github.com/tensorflow/model-optimization", "https://github.com/tensorflow/model-optimization"),
    ],
)
def test_addresses_are_replaced_and_nothing_else(before, after, monkeypatch):
    monkeypatch.setattr(addresses, "project", lambda: "NEW/tost_tf")
    assert addresses.addressed(before) == after
