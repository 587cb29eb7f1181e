"""README's Python runs as it stands, its numbers are those of the results, and the commands of all pages are known."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.experiment import flags
from tost_tf.experiment.analyze_options import AnalyzeOptions
from tost_tf.experiment.commands.mask import MaskOptions
from tost_tf.experiment.export_options import ExportOptions
from tost_tf.experiment.report_options import ReportOptions
from tost_tf.experiment.sweep.grid import read_grid
from tost_tf.experiment.sweep_options import SweepOptions

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    generator = np.random.default_rng(0)
    names = {
        "model": tost.models.build("resnet8", (8, 8, 1), 10, width_multiplier=0.5),
        "images": generator.normal(size=(40, 8, 8, 1)).astype(np.float32),
        "labels": np.arange(40) % 10,
    }
    for text, small in (("epochs=20", "epochs=2"), ("end_epoch=10", "end_epoch=1")):
        assert text in code
        code = code.replace(text, small)
    exec(code, names)
    assert not names["ghosted"].ghosts_active and (tmp_path / "out/saved_model.pb").exists()


def test_it_is_short():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("name", ["README.md", "BUILD.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_its_links_lead_somewhere(name):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert links or name in ("BUILD.md", "CHANGELOG.md")


def test_its_numbers_are_those_of_the_search():
    with (ROOT / "benchmarks/results/search.csv").open() as file:
        found = {(row[0], row[1]): row[2] for row in csv.reader(file)}
    rows = re.findall(r"^\| `(--recipe[^`]+)` \| ([\d, ]+) \| ([\d., ]+) \|$", README, re.MULTILINE)
    assert len(rows) == 2
    for text, seeds, numbers in rows:
        assert [found[text, seed] for seed in seeds.split(", ")] == numbers.split(", ")
    (dense,) = re.findall(r"the dense network has (\d+\.\d)", README)
    assert f"{float(found['--recipe=default --schedule=cosine --learning_rate=0.1 --mask=none', '0']):.1f}" == dense


def test_its_gains_are_those_of_the_confirmation():
    with (ROOT / "benchmarks/results/confirm.csv").open() as file:
        runs = [row for row in csv.DictReader(file) if (row["network"], row["sparsity"]) == ("resnet20", "0.98")]
    rows = re.findall(r"^\| ([\w ]+) \| ([\d.]+) \| ([\d.]+) \| \**\+([\d.]+) ± ([\d.]+)\** \|", README, re.MULTILINE)
    assert [row[0] for row in rows] == ["SynFlow", "ERK", "random by layer", "SNIP"]
    for name, *numbers in rows:
        mask = name.lower().removesuffix(" by layer")
        default, plus = (
            np.array(
                [
                    float(row["test accuracy"])
                    for seed in "012"
                    for row in runs
                    if (row["mask"], row["method"], row["seed"]) == (mask, method, seed)
                ]
            )
            for method in ("default", "tost_plus")
        )
        pairs = plus - default
        assert len(pairs) == 3
        found = (default.mean(), plus.mean(), pairs.mean(), pairs.std(ddof=1) / 3**0.5)
        assert [f"{number:.2f}" for number in found] == numbers


OWN_FILES = ("photos", "rows.npz", "mlp.keras", "mine.keras", "my_data.py")


def test_commands_of_all_pages_are_known(tmp_path, monkeypatch):
    text = "\n".join([README, *(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))])
    commands = re.findall(r"^(tost-(?:train|mask|analyze|export|sweep|report)) (.*?)(?: +#.*)?$", text, re.MULTILINE)
    assert len(commands) >= 20
    monkeypatch.syspath_prepend(tmp_path)
    for name in OWN_FILES:
        (tmp_path / name).touch()
    files = re.compile(rf"(?<=[:=])({'|'.join(map(re.escape, OWN_FILES))})(?= |$)")
    for command, arguments in commands:
        arguments = files.sub(lambda name: str(tmp_path / name[0]), arguments)
        if command == "tost-train":
            flags.parse(arguments.split())
        elif command == "tost-analyze":
            flags.parse_own(arguments.split(), AnalyzeOptions)
        elif command == "tost-sweep":
            cells, _ = read_grid(arguments.split(), {name: "str" for name in SweepOptions.__dataclass_fields__})
            assert cells and [flags.parse(cell.arguments) for cell in cells[:1]]
        elif command == "tost-report":
            flags.parse_own(arguments.split(), ReportOptions)
        elif command == "tost-export":
            flags.parse_own(arguments.split(), ExportOptions)
        else:
            flags.parse_with(arguments.split(), MaskOptions)
