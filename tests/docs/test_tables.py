"""Tables of the documentation, from small result files."""

import runpy
from pathlib import Path

import pytest

TABLES = Path(__file__).parents[2] / "docs/tables.py"
HEAD = "network,mask,sparsity,method,seed,training accuracy,validation accuracy,test accuracy,seconds"


@pytest.fixture
def confirmation(tmp_path):
    def run(*lines: str) -> str:
        (tmp_path / "confirm.csv").write_text("\n".join([HEAD, *lines, ""]))
        function = runpy.run_path(str(TABLES))["confirmation"]
        function.__globals__["RESULTS"] = tmp_path
        return function()

    return run


def runs(method: str, *accuracies: float) -> list[str]:
    return [f"resnet20,erk,0.98,{method},{seed},1,2,{accuracy},3" for seed, accuracy in enumerate(accuracies)]


def test_only_complete_cells_of_the_confirmation_are_shown(confirmation):
    default = runs("default", 70.0, 71.0, 72.0)
    assert confirmation(default[0]) == "No cell of it is complete yet: 1 of its runs is finished."
    assert "5 of its runs are" in confirmation(*default, *runs("tost_plus", 70.5, 72.5))
    shown = confirmation(*runs("tost_plus", 70.5, 72.5, 74.5), *default, *runs("tost", 70.0))
    # Differences 0.5, 1.5 and 2.5: deviation 1, standard error 1/√3, t = 1.5·√3, p = 1 - t / √(2 + t²).
    assert shown.splitlines()[2:] == [
        "| resnet20 | erk | 0.98 | tost_plus | 71.00 | 72.50 | +1.50 ± 0.58 (p = 0.122) |  |"
    ]


def test_rivals_beside_tost_plus(confirmation):
    others = *runs("default", 70.0, 71.0, 72.0), *runs("orthogonal", 70.5, 72.5, 74.5)
    *_, rival, plus = confirmation(*others, *runs("tost_plus", 71.0, 72.0, 73.0)).splitlines()
    # Differences -0.5, 0.5 and 1.5.
    assert rival.endswith("| orthogonal | 71.00 | 72.50 | +1.50 ± 0.58 (p = 0.122) | +0.50 ± 0.58 (p = 0.478) |")
    assert plus.endswith("| tost_plus | 71.00 | 72.00 | +1.00 ± 0.00 (p = 0.000) |  |")
    *_, rival = confirmation(*others, *runs("tost_plus", 71.0, 72.0)).splitlines()
    assert rival.endswith("| +1.50 ± 0.58 (p = 0.122) |  |")
