"""The documentation builds without a warning, its numbers are those of the results, and its code runs as it stands."""

import csv
import dataclasses
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tost_tf.experiment.analyze_options import AnalyzeOptions
from tost_tf.experiment.commands.mask import MaskOptions
from tost_tf.experiment.export_options import ExportOptions
from tost_tf.experiment.flags import flag_kinds
from tost_tf.experiment.report_options import ReportOptions
from tost_tf.experiment.sweep_options import SweepOptions
from tost_tf.registry import REGISTRIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>\S*)\n(?P<code>.*?)```", re.DOTALL)
# The others are run with --all; of extending, tests/experiment/stages/test_things_of_the_user.py has a short form.
FAST = ("quickstart",)


def blocks(page: Path, language: str) -> list[re.Match]:
    return [match for match in BLOCK.finditer(page.read_text()) if match["language"] == language]


PAGES = sorted(DOCS.glob("*.md"))
WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
COMMANDS = [page for page in PAGES if any(not match["mark"] for match in blocks(page, "sh"))]


def marked(pages: list[Path], fast: tuple[str, ...]) -> list:
    return [
        pytest.param(page, id=page.stem, marks=() if page.stem in fast else pytest.mark.exhaustive) for page in pages
    ]


def test_every_block_says_what_it_is():
    for page in [*PAGES, ROOT / "README.md"]:
        for match in BLOCK.finditer(page.read_text()):
            assert match["language"] in ("python", "sh", "text", "bibtex"), f"{page.name}: {match['code'][:60]}"
            assert match["mark"] is None or re.match(r"not run: .{4}", match["mark"]), page.name
            assert match["mark"] is None or match["language"] == "sh", f"{page.name}: its Python is not run"


@pytest.mark.parametrize("page", marked(WITH_PYTHON, FAST))
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(tmp_path)
    # In a file, whose functions have a source: the check of an export sends it to another process.
    script = tmp_path / f"{page.stem}_page.py"
    script.write_text("\n\n".join(match["code"] for match in blocks(page, "python")))
    runpy.run_path(str(script))


@pytest.mark.parametrize("page", marked(COMMANDS, ()))
def test_commands_of_a_page_run(page, tmp_path):
    for match in blocks(page, "sh"):
        for line in match["code"].splitlines() if not match["mark"] else ():
            command, *arguments = line.partition(" #")[0].split()
            program = [sys.executable, "-m", "tost_tf", command.removeprefix("tost-"), *arguments]
            done = subprocess.run(
                program, cwd=tmp_path, capture_output=True, text=True, env=with_project(), check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def with_project() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = with_project() | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = (tmp_path / "site/results/index.html").read_text()
    with (ROOT / "benchmarks/results/search.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["validation accuracy"] in results
    assert "{{" not in results and "tost.sparsify(model, sparsity" in re.sub(
        r"<[^>]+>", "", (tmp_path / "site/reference/index.html").read_text()
    )


def test_a_broken_link_or_number_is_a_failure(tmp_path):
    config = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "docs").mkdir()
    config = config.replace("module_name: docs/tables", f"module_name: {DOCS / 'tables'}")
    config = re.sub(r"nav:.*", "", config, flags=re.DOTALL)
    (tmp_path / "mkdocs.yml").write_text(config)
    for text in ("[away](nowhere.md)", '{{ number("overhead.json", "ratios", "no such step") }}'):
        (tmp_path / "docs/index.md").write_text(f"# Page\n\n{text}\n")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0, text


# Flags that a page defines itself; those of other programs would stand here too.
OTHER_FLAGS = {"centre_weight"}


def unknown_flags(text: str) -> set[str]:
    """The flags that a text names and no command of ours has."""
    kinds = (SweepOptions, ExportOptions, AnalyzeOptions, ReportOptions, MaskOptions)
    known = {field.name for kind in kinds for field in dataclasses.fields(kind)} | {*flag_kinds(), "flagfile", "help"}
    named = set(re.findall(r"(?<![-\w])--([A-Za-z]\w*)", text))
    return {name for name in named - known - OTHER_FLAGS if name.removeprefix("no") not in known}


def test_flags_in_texts_are_those_of_the_commands():
    flagfiles = sorted((ROOT / "flags").rglob("*.flags"))
    for path in (ROOT / "README.md", *PAGES, *flagfiles):
        assert not unknown_flags(path.read_text()), path
    assert unknown_flags("`--norescale_init --mask_batch_size=3 --sparsity`") == {"mask_batch_size"}


def test_messages_of_the_troubleshooting_are_those_of_the_code():
    text = (DOCS / "troubleshooting.md").read_text()
    code = " ".join(path.read_text() for path in sorted((ROOT / "tost_tf").rglob("*.py")))
    # What strings are joined by, and what is filled in.
    code = re.sub(r"\{[^{}]*(?:\{[^{}]*\})*[^{}]*\}", "...", re.sub(r'"\s*\n\s*f?"', "", code))
    messages = re.findall(r"^\| `([^`]+)`", text.partition("## Messages")[2], re.MULTILINE)
    assert len(messages) >= 12
    for message in messages:
        for part in message.replace(" N ", " ... ").split("..."):
            assert part.strip() in code, f"{message}: {part}"
