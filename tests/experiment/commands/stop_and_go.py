"""Runs `tost-train` in one process: undisturbed, and stopped by signals and launched again; prints the exit codes.

Usage: stop_and_go.py FOLDER MODEL [FLAG ...]
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from tost_tf.experiment.commands.command import run_command
from tost_tf.experiment.commands.train import main

STEPS = 150
OPTIONS = (
    *("--dataset=digits", f"--train_examples={4 * STEPS}", "--batch_size=4", "--epochs=3"),
    *(
        "--mask=snip",
        "--mask_examples_per_class=2",
        "--sparsity=0.7",
        "--rescale_init",
        "--rescale_steps=2",
        "--deterministic",
    ),
    "--gradient_flow_every=10",  # tells how far a run is
)


def signal_after(run: Path, step: int, number: int) -> None:
    """Sends this process the signal once a run has done so many steps."""
    rows = run / "analysis/gradient_flow.csv"

    def reached() -> bool:
        lines = rows.read_text().splitlines()[1:] if rows.exists() else []
        return bool(lines) and int(lines[-1].split(",")[0]) >= step

    def wait() -> None:
        while not reached():
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


def launch(run: Path, model: str) -> int:
    with contextlib.redirect_stdout(sys.stderr):
        return run_command("tost-train", main, [*OPTIONS, *sys.argv[3:], f"--model={model}", f"--run_dir={run}"])


def in_and_out() -> None:
    folder, model = Path(sys.argv[1]), sys.argv[2]
    codes, steps = [launch(folder / "undisturbed", model)], []
    for step, number in ((STEPS // 3, signal.SIGTERM), (2 * STEPS + 30, signal.SIGINT)):
        signal_after(folder / "stopped", step, number)
        codes.append(launch(folder / "stopped", model))
        steps.append(sorted(file.stem for file in (folder / "stopped/checkpoints").glob("step-*.index")))
    codes.append(launch(folder / "stopped", model))
    print(json.dumps({"codes": codes, "steps": steps}))


if __name__ == "__main__":
    in_and_out()
