"""`tost-report` through the command line, on folders that runs might have left."""

import csv
import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiment.run_folders import write_run
from tost_tf.experiment.commands.command import run_command
from tost_tf.experiment.commands.report import main

ACCURACIES = {("default", 0): 0.40, ("default", 1): 0.46, ("tost", 0): 0.43, ("tost", 1): 0.50}


@pytest.fixture
def report(capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        code = run_command("tost-report", main, [*map(str, arguments)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def runs(tmp_path) -> Path:
    for (recipe, seed), accuracy in ACCURACIES.items():
        options = {"mask": "snip", "sparsity": 0.9, "recipe": recipe, "seed": seed}
        write_run(tmp_path / f"runs/{recipe}_{seed}", accuracy, **options)
    return tmp_path / "runs"


def test_table(report, runs):
    code, output, errors = report(runs)
    assert (code, errors) == (0, "")
    rows = [
        [word.strip() for word in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("| snip")
    ]
    assert rows == [["snip", "default", "43.00 ± 4.24"], ["snip", "tost", "46.50 ± 4.95; +3.50 ± 0.50"]]
    assert "over 2 seeds" in output and "recipe=default" in output


def test_csv_of_several_values_and_no_baseline(report, runs):
    code, output, _ = report(
        runs, "--format=csv", "--value=test_accuracy_last,nonzero_parameters", "--rows=recipe", "--baseline=none"
    )
    rows = list(csv.DictReader(io.StringIO(output)))
    assert code == 0 and {row["difference"] for row in rows} == {""}
    found = [(row["value"], row["recipe"], row["mean"]) for row in rows]
    assert found == [
        *(("test_accuracy_last", "default", "42.00"), ("test_accuracy_last", "tost", "45.50")),
        *(("nonzero_parameters", "default", "1234"), ("nonzero_parameters", "tost", "1234")),
    ]


def test_a_value_may_have_the_name_of_a_key(report, runs):
    """Runs whose measured sparsities differ a little are of one requested sparsity, and are paired."""
    for number, path in enumerate(sorted(runs.glob("*/result.json"))):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sparsity": 0.900083 + number / 10_000}))
    code, output, _ = report(runs, "--format=csv", "--value=test_accuracy,sparsity")
    rows = list(csv.DictReader(io.StringIO(output)))
    assert code == 0 and [(row["value"], row["recipe"], row["sparsity"], row["mean"]) for row in rows] == [
        *(("test_accuracy", "default", "0.9", "43.00"), ("test_accuracy", "tost", "0.9", "46.50")),
        *(("sparsity", "default", "0.9", "0.9001"), ("sparsity", "tost", "0.9", "0.9003")),
    ]
    assert rows[1]["pairs"] == "2" and rows[1]["difference"] == "+3.50"


def test_files_figures_and_page(report, runs, tmp_path):
    write_run(runs / "tost_2", None, mask="snip", sparsity=0.9, recipe="tost", seed=2)
    write_run(runs / "kept_0", 0.4, mask="snip", sparsity=0.9, recipe="tost", ghost_end_epoch=-1)
    write_run(runs / "sparser_0", 0.2, mask="snip", sparsity=0.98, recipe="default")
    (runs / "default_0/figures").mkdir()
    write_latency(runs / "default_0", "keras3", {"dense": 9.0, "sparse": 9.0, "compacted": 4.0})
    out = tmp_path / "out"
    assert report(runs, f"--out={out}", "--figures=all", "--html")[0] == 0
    (runs / "default_0/figures/curve<>.png").write_bytes((out / "curves.png").read_bytes())
    (runs / "broken").mkdir()
    (runs / "broken/result.json").write_text("{<b>")
    code, _, errors = report(runs, f"--out={out}", "--figures=all", "--html")
    assert code == 0 and "runs/tost_2: unfinished" in errors and "runs/broken: " in errors
    figures = ["accuracy", "breakdown", "ghostliness", "curves", "latency", "seconds"]
    expected = {
        "table.md",
        "table.tex",
        "table.csv",
        "report.html",
        *(f"{name}.{kind}" for name in figures for kind in ("png", "csv")),
    }
    assert {path.name for path in out.iterdir()} == expected
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(figures) + 1
    assert not re.findall(r'(?:src|href)="(?!data:)', page)  # a single file
    assert "1 unfinished" in page and "curve&lt;&gt; of default_0" in page and "<b>" not in page
    curves = (out / "curves.csv").read_text().splitlines()
    assert curves[0] == "mask,recipe,sparsity,epoch,mean,std,seeds" and "snip,tost,0.9,2,0.2,0,2" in curves


def write_latency(run: Path, name: str, milliseconds: dict[str, float], folder: str = "export") -> None:
    rows = [
        {"network": network, "threads": threads, "batch": batch, "milliseconds": batch * number / threads, "ratio": 0.3}
        for threads in (1, 2)
        for batch in (1, 32)
        for network, number in milliseconds.items()
    ]
    (run / folder).mkdir(parents=True)
    entries = {"zip": {"file": "not measured"}, name: {"file": "a", "latency": {"summary": "", "rows": rows}}}
    (run / folder / "manifest.json").write_text(json.dumps(entries))


def test_accuracy_against_latency(report, runs, tmp_path, caplog):
    for name, folder, compacted in (("default_0", "export", 3.0), ("default_1", "export", 4.0)):
        write_latency(runs / name, "saved_model", {"dense": 10.0, "sparse": 11.0, "compacted": compacted}, folder)
    write_latency(runs / "tost_0", "saved_model", {"dense": 10.0, "sparse": 9.0, "compacted": 2.0}, "export/compact")
    (runs / "tost_1/export").mkdir()
    (runs / "tost_1/export/manifest.json").write_text("{<b>")
    out = tmp_path / "out"
    assert report(runs, f"--out={out}", "--figures=latency")[0] == 0 and (out / "latency.png").exists()
    assert "runs/tost_1: its latency cannot be read" in caplog.text
    with (out / "latency.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2 * 3  # recipes, threads, batches, networks
    found = {(row["recipe"], row["threads"], row["batch"], row["network"]): row for row in rows}
    mean = found["default", "1", "32", "compacted"]
    assert (mean["milliseconds"], mean["mean"], mean["seeds"]) == ("112", "0.43", "2")
    assert found["tost", "2", "1", "sparse"]["milliseconds"] == "4.5"
    assert found["tost", "1", "1", "dense"]["mean"] == "0.43"


def test_no_latency_no_figure(report, runs, tmp_path):
    assert report(runs, f"--out={tmp_path / 'out'}", "--figures=latency")[0] == 0
    assert not (tmp_path / "out/latency.png").exists()


def test_no_tensorflow_is_imported(runs):
    told = "import sys; from tost_tf.experiment.commands import report; report.main(sys.argv[1:])"
    told += "; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", told, str(runs), "--html"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no folder of runs is given"),
        (("{runs}", "--rows=mask,recpe"), "unknown --rows 'recpe': did you mean 'recipe'"),
        (("{runs}", "--rows="), "--rows is empty"),
        (("{runs}", "--value=accuracy"), "no run has a number 'accuracy'"),
        (("{runs}", "--baseline=recipe=best"), "no run has recipe=best; there are default, tost"),
        (("{runs}", "--baseline=recipe"), "--baseline has 'recipe', it must have the form name=value"),
        (("{runs}", "--where=recipe=best"), "matches none of the 4 runs"),
        (("{runs}", "--rows=mask"), "with seed 0: they differ in --recipe"),
        (("{runs}", "--figures=all"), "--figures=all needs --out=FOLDER"),
        (("{runs}", "--figures=pie", "--out=x"), "unknown --figures 'pie'"),
        (("{runs}", "--format=word"), "unknown --format 'word'"),
        (("{runs}/nothing",), "there is no such folder"),
        (("{runs}/default_0/config.flags",), "default_0/config.flags' is not a folder of runs: it is a file"),
        (("{runs}", "--out={runs}/default_0/config.flags"), "is not a folder"),
    ],
)
def test_bad_input(report, runs, arguments, message):
    code, _, errors = report(*(argument.replace("{runs}", str(runs)) for argument in arguments))
    assert code == 2 and message in errors.replace("\n", " "), errors


def test_the_committed_table_of_tweaks_is_reproduced(report, tmp_path):
    committed = committed_rows("tweaks_digits_0.1.0")
    cells = []
    for row in committed:
        options = {"mask": row["mask"], "sparsity": float(row["sparsity"]), "recipe": "default", "epochs": 90}
        for seed, accuracy in enumerate(row["accuracies"].split()):
            name = f"{row['mask']}_{row['sparsity']}_{row['tweak']}_{seed}"
            write_run(tmp_path / name, of_images(accuracy), seed=seed, **options)
            cells.append({"run": name, "arguments": [], "labels": {"tweak": row["tweak"]}})
    (tmp_path / "sweep.json").write_text(json.dumps({"cells": cells}))
    arguments = ("--rows=tweak", "--columns=mask,sparsity", "--baseline=tweak=default", "--format=csv")
    code, output, errors = report(tmp_path, *arguments)
    assert (code, errors) == (0, "")
    found = {(row["mask"], row["sparsity"], row["tweak"]): row for row in csv.DictReader(io.StringIO(output))}
    assert len(found) == len(committed) == 30
    for row in committed:
        own = found[row["mask"], row["sparsity"], row["tweak"]]
        numbers = ["mean", "std"] if row["tweak"] == "default" else ["mean", "std", "difference", "standard_error"]
        assert [own[name] for name in numbers] == [row[name] for name in numbers]
        assert own["values"] == row["accuracies"]


def test_the_committed_table_of_sup_tickets_is_reproduced(report, tmp_path):
    committed = committed_rows("suptickets_digits")
    by_run = {}
    for row in committed:
        for seed, accuracy in enumerate(row["accuracies"].split()):
            by_run.setdefault((row["method"], row["sparsity"], seed), {})[row["network"]] = of_images(accuracy)
    cells = []
    for number, ((method, sparsity, seed), accuracies) in enumerate(by_run.items()):
        options = {"mask": "erk", "sparsity": float(sparsity), "recipe": "default", "seed": seed, "epochs": 90}
        path = write_run(tmp_path / str(number), accuracies["exported"], **options)
        more = {"test_accuracy_last": accuracies["end"]}
        more |= {"superpositions": []} if "Sup-tickets" in method else {}
        (path / "result.json").write_text(json.dumps(json.loads((path / "result.json").read_text()) | more))
        labels = {"method": method.removesuffix(" + Sup-tickets"), "tickets": "caa" if "Sup" in method else "none"}
        cells.append({"run": path.name, "arguments": [], "labels": labels})
    (tmp_path / "sweep.json").write_text(json.dumps({"cells": cells}))
    arguments = ("--rows=method,tickets", "--value=test_accuracy,end_accuracy", "--format=csv")
    to_static = by_cell(report(tmp_path, *arguments, "--baseline=method=static,tickets=none")[1])
    to_same = by_cell(report(tmp_path, *arguments, "--baseline=tickets=none")[1])
    assert len(to_static) == len(to_same) == len(committed) == 32
    for row in committed:
        value = {"exported": "test_accuracy", "end": "end_accuracy"}[row["network"]]
        tickets = "caa" if "Sup-tickets" in row["method"] else "none"
        cell = (value, row["method"].removesuffix(" + Sup-tickets"), tickets, row["sparsity"])
        own, same = to_static[cell], to_same[cell]
        assert (own["mean"], own["std"]) == (row["mean"], row["std"])
        if row["method"] != "static":
            assert (own["difference"], own["standard_error"]) == (row["difference"], row["standard_error"])
        if tickets == "caa":
            assert f"{same['difference']} ± {same['standard_error']}" == row["difference_to_same_method"]


def test_the_committed_table_of_masks_is_reproduced(report, tmp_path):
    committed = {row.pop("density of"): row for row in committed_rows("six_masks")}
    numbers = ("sparsity", "test_accuracy", "mask_seconds")
    for mask in committed["sparsity"]:
        path = write_run(tmp_path / mask, 0.3, mask=mask, recipe="default")
        result = {name: float(committed[name][mask]) for name in numbers}
        result["collapsed_layers"] = ["a layer"] * int(committed["collapsed layers"][mask])
        others = (name for name in committed if name not in (*numbers, "collapsed layers"))
        result["layer_sparsity"] = {name: 1 - float(committed[name][mask]) for name in others}
        (path / "result.json").write_text(json.dumps(json.loads((path / "result.json").read_text()) | result))
    value = "--value=layer_density,sparsity,test_accuracy,mask_seconds,collapsed_layers"
    code, output, _ = report(tmp_path, "--rows=value", "--columns=mask", value)
    lines = [[word.strip() for word in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("|")]
    masks = [name.removeprefix("mask=") for name in lines[0][1:]]
    rows = {row[0].removeprefix("density of "): dict(zip(masks, row[1:], strict=True)) for row in lines[2:]}
    assert code == 0 and set(masks) == set(committed["sparsity"]) and len(rows) == len(committed)
    for name, row in committed.items():
        own = rows[name.replace(" ", "_")]
        digits = {"test_accuracy": "{:.2f}", "mask_seconds": "{:.1f}", "collapsed layers": "{:.0f}"}.get(name, "{:.4f}")
        scale = 100 if name == "test_accuracy" else 1
        assert own == {mask: digits.format(scale * float(number)) for mask, number in row.items()}, name


def committed_rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(f"benchmarks/results/{name}.csv").read_text().splitlines()))


def of_images(accuracy: str) -> float:
    """What a table has rounded to hundredths of a percent, of the 359 test images of the digits."""
    return round(float(accuracy) / 100 * 359) / 359


def by_cell(output: str) -> dict[tuple, dict]:
    rows = list(csv.DictReader(io.StringIO(output)))
    return {(row["value"], row["method"], row["tickets"], row["sparsity"]): row for row in rows}


def test_comparison_with_the_papers_numbers(report, tmp_path, caplog):
    for seed, accuracy in enumerate((0.855, 0.861)):
        options = {"dataset": "cifar10", "model": "resnet32x2", "mask": "random", "sparsity": 0.98, "seed": seed}
        write_run(tmp_path / f"default_{seed}", accuracy, **options, recipe="default")
        write_run(tmp_path / f"tost_{seed}", None, **options, recipe="tost")
    ticket = {"dataset": "cifar100", "model": "resnet18", "mask": "lottery", "sparsity": 0.95, "recipe": "default"}
    write_run(tmp_path / "ticket", 0.7, **ticket, ghost_skips="projection")
    code, output, errors = report(tmp_path, "--rows=dataset,mask,recipe", "--against_paper")
    assert code == 0 and "--epochs" not in errors and "no cell" not in caplog.text
    assert "85.80 ± 0.42 (n = 2); paper: 86.13 ± 0.25" in output
    assert "–; paper: 88.20 ± 0.89" in output  # not finished here
    assert "70.00 (n = 1); paper: 71.72 ± 0.22, +2.15" in output  # Tables 4 and 5
    _, output, _ = report(tmp_path, "--rows=dataset,mask,recipe", "--against_paper", "--format=csv")
    row = next(csv.DictReader(io.StringIO(output)))
    assert (row["mean"], row["paper_mean"], row["paper_std"]) == ("85.80", "86.13", "0.25")


def test_runs_that_the_paper_does_not_have(report, runs, caplog):
    code, output, _ = report(runs, "--against_paper")
    assert code == 0 and "43.00 ± 4.24" in output and "paper:" not in output
    assert "--against_paper: no cell of these runs is in the paper" in caplog.text


def test_the_papers_numbers_are_with_the_source(report, runs, tmp_path, monkeypatch):
    monkeypatch.setattr("tost_tf.experiment.study.PAPER", Path("nowhere.csv"))
    assert "--against_paper needs nowhere.csv" in report(runs, "--against_paper")[2]
    monkeypatch.setattr("tost_tf.experiment.study.PAPER", tmp_path / "broken.csv")
    for text, message in (
        ("mean,sparsity\na,b\n", "cannot be read"),
        ("mean,sparsity\n1,2\n", "it has no column 'where'"),
    ):
        (tmp_path / "broken.csv").write_text(text)
        assert message in report(runs, "--against_paper")[2]


def test_empty_folder(report, tmp_path):
    assert "there are no runs" in report(tmp_path)[2]


def test_a_full_disk(report, runs, monkeypatch):
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    (runs / "table.md").write_text("an older table")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    code, output, errors = report(runs, f"--out={runs}", "--html")
    assert code == 2 and "cannot be written: No space left on device" in errors
    assert "43.00" in output  # printed before
    assert (runs / "table.md").read_text() == "an older table"
    (runs / "table.md").unlink()
    assert before == {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}


def test_where_and_mixed_options(report, runs, caplog):
    write_run(runs / "longer", 0.9, mask="snip", sparsity=0.9, recipe="default", seed=5, epochs=200)
    assert report(runs)[0] == 0
    assert "differ in more than their seeds" in caplog.text and "--epochs=180, 200" in caplog.text
    caplog.clear()
    assert "43.00" in report(runs, "--where=epochs=180")[1] and not caplog.text


def test_an_unfinished_copy_of_a_finished_run_is_left_out(report, runs, caplog):
    write_run(runs / "again", None, mask="snip", sparsity=0.9, recipe="default", seed=0)
    code, output, _ = report(runs)
    assert code == 0 and "43.00 ± 4.24" in output
    assert "again is left out" in caplog.text
