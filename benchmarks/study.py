"""Runs of a study, several at once, and their accuracies compared pair by pair. Runs are kept, and resumed."""

import contextlib
import csv
import io
import multiprocessing
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from tost_tf.files import write_text


def run(task: tuple[tuple, list[str], Path]) -> tuple[tuple, dict]:
    """The result of one run, trained now or found finished."""
    from tost_tf.compat import keras
    from tost_tf.experiment.flags import parse
    from tost_tf.experiment.stages.launch import launch

    cell, arguments, folder = task
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.log", "a") as log, contextlib.redirect_stdout(log):
        result = launch(parse([*arguments, f"--run_dir={folder}"]))
    keras.backend.clear_session()
    return cell, result


def run_all(arguments: Mapping[tuple, list[str]], runs: Path, jobs: int) -> dict[tuple, dict]:
    """The content of `result.json` by cell, for a run with the given arguments in each cell."""
    tasks = [(cell, given, runs / "_".join(map(str, cell)).replace(" ", "")) for cell, given in arguments.items()]
    # Fresh processes now and then: a process that has trained many networks grows.
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=6) as pool:
        return dict(tqdm(pool.imap_unordered(run, tasks), total=len(tasks), unit="run"))


def compared(own: Sequence[float], base: Sequence[float]) -> dict[str, str]:
    """Mean, standard deviation and the paired difference to `base` with its standard error, of accuracies by seed."""
    differences = [a - b for a, b in zip(own, base, strict=True)]
    several = len(own) > 1
    return {
        "mean": f"{statistics.mean(own):.2f}",
        "std": f"{statistics.stdev(own):.2f}" if several else "",
        "difference": f"{statistics.mean(differences):+.2f}",
        "standard_error": f"{statistics.stdev(differences) / len(own) ** 0.5:.2f}" if several else "",
        "accuracies": " ".join(f"{value:.2f}" for value in own),
    }


def write_table(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Writes the rows as CSV, and prints them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    print(text.getvalue())
