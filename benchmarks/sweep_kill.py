"""Kills a worker and the scheduler of a sweep, gives the command again, and compares with a sweep nothing happened to.

    python benchmarks/sweep_kill.py [--apart] [--folder runs/sweep_kill] [--out benchmarks/results/sweep_kill.csv]

Eight cells on the bundled digits, a tiny network, three epochs each, two at a time; SNIP's masks are shared. SIGKILL
goes to a worker in the middle of a run, and later to the scheduler in the middle of another: that is the process of
tost-sweep, or with --apart one of its own, as the workers are. The undisturbed sweep is kept, and not run again.
"""

import argparse
import contextlib
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import psutil

from tost_tf.compat import tf
from tost_tf.files import read_object

GRID = (
    *("--dataset=digits", "--train_examples=60", "--batch_size=30", "--model=resnet8", "--width_multiplier=0.25"),
    *("--dense_layers=^logits$", "--recipe=default", "--epochs=3", "--deterministic", "--mask=snip"),
    *(
        "--mask_examples_per_class=2",
        "--sparsity=0.8",
        "--label_smoothing=0|0.1",
        "--case=ghosts/none: --ghost_skips=none",
    ),
    *("--case=ghosts/skips: --ghost_skips=identity --ghost_end_epoch=2", "--seed=0|1"),
)
RUNS, EPOCHS = 8, 3
TIMES = ("train_seconds", "mask_seconds", "images_per_second")
COLUMNS = ("fault", "finished_before", "running", "epochs_done", "seconds", "exit_code", "left_behind")
CHILD = "tost_tf.experiment.sweep.child"


def sweep(runs: Path, log: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "tost_tf", "sweep", *GRID, "--jobs=2", f"--runs_dir={runs}", *more]
    return subprocess.Popen(command, stdout=open(log, "ab"), stderr=subprocess.STDOUT)


def finished(runs: Path) -> set[str]:
    return {path.parent.name for path in runs.glob("*/result.json")}


def in_the_middle(runs: Path) -> list[Path]:
    """Runs that have the checkpoint of an epoch, and not that of the last."""
    begun = {path.parents[1] for path in runs.glob("*/checkpoints/epoch-*.index")}
    return sorted(run for run in begun if epochs_done(run) < EPOCHS and run.name not in finished(runs))


def epochs_done(run: Path) -> int:
    return max((int(path.stem.split("-")[1]) for path in run.glob("checkpoints/epoch-*.index")), default=0)


def process_of(run: Path) -> psutil.Process | None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if CHILD in words and f"--run_dir={run}" in words:
                return process
    return None


def wait_for_middle(runs: Path, at_least: int, ended: Callable[[], bool]) -> tuple[Path, psutil.Process]:
    """A run in its middle and its process, once so many runs are finished."""
    while not ended():
        for run in in_the_middle(runs) if len(finished(runs)) >= at_least else ():
            process = process_of(run)
            if process is not None:
                return run, process
        time.sleep(0.02)
    raise RuntimeError("the sweep ended before it could be disturbed")


def left_behind(processes: list[psutil.Process]) -> int:
    """How many of the processes are still there after a while."""
    _, alive = psutil.wait_procs(processes, timeout=60)
    return len(alive)


@contextlib.contextmanager
def cluster(folder: Path, port: int) -> Iterator[list[subprocess.Popen]]:
    """A scheduler and two workers in processes of their own."""
    log = open(folder / "cluster.log", "ab")  # noqa: SIM115
    commands = [[sys.executable, "-m", "distributed.cli.dask_scheduler", f"--port={port}", "--dashboard-address=:0"]]
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        f"tcp://127.0.0.1:{port}",
        "--nthreads=1",
        "--no-dashboard",
    ]
    commands += [worker, worker]
    started = [subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) for command in commands]
    try:
        time.sleep(5)
        yield started
    finally:
        for process in started:
            process.terminate()
            process.wait()


def disturbed(runs: Path, log: Path, apart: bool) -> list[dict]:
    """Kills a worker, then the scheduler, and gives the same command again; what was seen."""
    rows, port = [], 18786
    more = (f"--scheduler=tcp://127.0.0.1:{port}", "--threads=1") if apart else ()
    with cluster(runs.parent, port) if apart else contextlib.nullcontext([]) as started:
        process = sweep(runs, log, *more)
        ended = lambda: process.poll() is not None  # noqa: E731
        run, child = wait_for_middle(runs, 1, ended)
        row = noted("SIGKILL to a worker", runs, run)
        os.kill(child.ppid(), signal.SIGKILL)
        rows.append(row | {"exit_code": "", "left_behind": left_behind([child])})
        run, child = wait_for_middle(runs, 3, ended)
        row, start = noted("SIGKILL to the scheduler", runs, run), time.monotonic()
        scheduler = started[0] if apart else process
        below = [] if apart else psutil.Process(process.pid).children(recursive=True)
        scheduler.kill()
        code = process.wait(timeout=300)
        row |= {"exit_code": code, "left_behind": left_behind([*below, child]), "seconds": time.monotonic() - start}
        rows.append(row)
    starts = {path.stem: started_times(path) for path in runs.glob("*.log")}
    done, start = finished(runs), time.monotonic()
    with cluster(runs.parent, port + 1) if apart else contextlib.nullcontext():
        again = (f"--scheduler=tcp://127.0.0.1:{port + 1}", "--threads=1") if apart else ()
        code = sweep(runs, log, *again).wait()
    twice = [name for name in done if started_times(runs / f"{name}.log") != starts[name]]
    rows.append(
        {
            "fault": f"the same command again: {len(twice)} finished runs started again",
            "finished_before": len(done),
            "seconds": time.monotonic() - start,
            "exit_code": code,
        }
    )
    return rows


def noted(fault: str, runs: Path, run: Path) -> dict:
    return {
        "fault": fault,
        "finished_before": len(finished(runs)),
        "running": run.name,
        "epochs_done": epochs_done(run),
    }


def started_times(log: Path) -> int:
    return sum(line.startswith("$ tost-train") for line in log.read_text(errors="replace").splitlines())


def differences(run: Path, reference: Path) -> list[str]:
    """What is not the same, to the last bit, in two runs: results, curves, masks, last and exported weights."""
    different = []
    results = [read_object(folder / "result.json") for folder in (run, reference)]
    if len({str({name: own[name] for name in own if name not in TIMES}) for own in results}) > 1:
        different.append("result.json")
    tables = [
        [row[: row.rindex(",")] for row in (folder / "metrics.csv").read_text().split()] for folder in (run, reference)
    ]
    if tables[0] != tables[1]:
        different.append("metrics.csv")
    for name in ("mask.npz", f"checkpoints/epoch-{EPOCHS}", "export/saved_model/variables/variables"):
        own, other = (arrays(folder / name) for folder in (run, reference))
        if own.keys() != other.keys() or any(own[key].tobytes() != other[key].tobytes() for key in own):
            different.append(name)
    return different


def arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        return dict(np.load(path))
    reader = tf.train.load_checkpoint(str(path))
    numbers = (name for name, kind in reader.get_variable_to_dtype_map().items() if kind != tf.string)
    return {name: np.asarray(reader.get_tensor(name)) for name in numbers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/sweep_kill"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sweep_kill.csv"))
    parser.add_argument("--apart", action="store_true", help="with a Dask scheduler and workers of their own")
    options = parser.parse_args()
    reference, runs = options.folder / "undisturbed", options.folder / ("apart" if options.apart else "disturbed")
    options.folder.mkdir(parents=True, exist_ok=True)
    if sweep(reference, options.folder / "undisturbed.log").wait():
        raise SystemExit("the undisturbed sweep failed")
    shutil.rmtree(runs, ignore_errors=True)
    rows = disturbed(runs, options.folder / f"{runs.name}.log", options.apart)
    same = [run for run in finished(runs) if not differences(runs / run, reference / run)]
    assert len(finished(reference)) == RUNS
    rows.append(
        {"fault": f"in the end: {len(same)} of {RUNS} runs bit-identical", "finished_before": len(finished(runs))}
    )
    for row in rows:
        row["seconds"] = f"{row['seconds']:.0f}" if "seconds" in row else ""
    with open(options.out, "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print(options.out.read_text())


if __name__ == "__main__":
    main()
