"""Kills a run at random moments, launches it again, and compares the end with a run that nothing happened to.

    python benchmarks/faults.py [--kills 20] [--seed 0] [--out benchmarks/results/faults.csv]

Each kill is a fresh run of its own on the bundled digits: a little network, a lottery ticket for a mask, the rescaled
initialisation, ghosts, 6 epochs, an export; `--deterministic`. It is killed (SIGKILL) in a phase that is drawn, some
milliseconds after the phase was seen to begin, and launched again. A row of the file says when, what earlier files
were lost or damaged by the kill (none may be), and whether the end is the same to the last bit: every tensor of the
last checkpoint, the exported weights, `metrics.csv` and `result.json` but for times.

Then the disk is filled up (a small tmpfs; needs the right to mount one, as root has), and the weights are made to grow
until the loss is no number.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.experiment.run.checkpoints import last_checkpoint
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.files import read_arrays, read_json

EPOCHS = 6
OPTIONS = (
    *("--dataset=digits", "--train_examples=240", "--batch_size=16", f"--epochs={EPOCHS}", "--lr_drop_epochs=3,5"),
    *("--sparsity=0.5", "--deterministic"),
)
SEARCHED = (
    *("--mask=lottery", "--lottery_epochs=3", "--lottery_fraction=0.3", "--rewind_epoch=1", "--rescale_steps=4"),
)
INFINITE = ("--learning_rate=10", "--weight_decay=0.4", "--mask=random", "--recipe=default")
TIMES = ("train_seconds", "mask_seconds", "images_per_second")
COLUMNS = (
    "fault",
    "moment",
    "seconds",
    "epochs_done",
    "exit_code",
    "earlier_files_damaged",
    "resumed",
    "bit_identical",
)


def network() -> keras.Model:
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    x = layers.BatchNormalization(name="norm1")(layers.Conv2D(8, 3, padding="same", name="stem")(image))
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="middle")(layers.ReLU(name="relu1")(x))
    x = layers.ReLU(name="relu2")(layers.BatchNormalization(name="norm2")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x), name="little")


def start(model: Path, run: Path, options: tuple[str, ...] = SEARCHED) -> subprocess.Popen:
    own = (*OPTIONS, *options, f"--model={model}", f"--run_dir={run}")
    command = [sys.executable, "-m", "tost_tf", "train", *own]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def moments(run: Path, epoch: int) -> dict[str, Callable[[], bool]]:
    """The phases a kill is drawn from, and how the beginning of each is seen from outside."""
    checkpoints = run / "checkpoints"
    return {
        "mask search": lambda: any(run.glob("lottery/*")) and not (run / "mask.npz").exists(),
        "between mask and rescaling": (run / "mask.npz").exists,
        "between rescaling and training": (run / "scales.json").exists,
        "checkpoint": lambda: any(checkpoints.glob(f"epoch-{epoch}_temp*")),
        "after a checkpoint": (checkpoints / f"epoch-{epoch}.index").exists,
        "export": lambda: any(run.glob("export/.saved_model-*")),
        "after the export": (run / "export/saved_model").exists,
        "any": lambda: True,
    }


def whole_files(run: Path) -> dict[str, object]:
    """What is there and whole now: files that never change by content, and how far tables and checkpoints are."""
    fixed = ("config.flags", "mask.npz", "ticket_weights.npz", "rescaled_weights.npz", "scales.json")
    found = {name: (run / name).read_bytes() for name in fixed if (run / name).exists()}
    last = last_checkpoint(run / "checkpoints")
    return found | {"checkpoint": int(last.name.split("-")[1]) if last else 0, "rows": rows(run)}


def rows(run: Path) -> int:
    return len(RunDirectory(run).read_metrics())


def damaged(run: Path, before: dict[str, object]) -> list[str]:
    """Which of the files that were whole before are not now."""
    now = whole_files(run)
    lost = [name for name, content in before.items() if isinstance(content, bytes) and now.get(name) != content]
    lost += [name for name in ("checkpoint", "rows") if now[name] < before[name]]
    for name in ("mask.npz", "ticket_weights.npz", "rescaled_weights.npz"):
        try:
            if (run / name).exists():
                read_arrays(run / name)
        except ValueError:
            lost.append(f"{name} is half written")
    return lost


def end_of(run: Path) -> dict[str, object]:
    """Everything a run ends with, as bytes, but for times."""
    reader = tf.train.load_checkpoint(str(run / f"checkpoints/epoch-{EPOCHS}"))
    names = sorted(reader.get_variable_to_shape_map())
    loaded = tf.saved_model.load(str(run / "export/saved_model"))
    result = {name: value for name, value in read_json(run / "result.json").items() if name not in TIMES}
    return {
        "checkpoint": {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names},
        "export": [variable.numpy().tobytes() for variable in loaded.network_variables],
        "metrics": [{**row, "seconds": 0} for row in RunDirectory(run).read_metrics()],
        "mask": (run / "mask.npz").exists() and [mask.tobytes() for mask in tost.Masks.load(run / "mask.npz").values()],
        "result": result,
    }


def kill_once(folder: Path, model: Path, name: str, generator: random.Random, expected: dict) -> dict:
    """One run, killed and launched again, as a row of the table."""
    run = folder / "killed"
    shutil.rmtree(run, ignore_errors=True)
    epoch, delay = generator.randint(1, EPOCHS), generator.uniform(*((6, 14) if name == "any" else (0, 0.05)))
    began = moments(run, epoch)[name]
    process, start_time = start(model, run), time.perf_counter()
    while not began() and process.poll() is None:
        time.sleep(0.0005)
    if name != "checkpoint":  # which is over in no time
        time.sleep(delay)
        before = whole_files(run)
    time.sleep(generator.uniform(0, 0.003))
    process.send_signal(signal.SIGKILL)
    seconds = time.perf_counter() - start_time
    process.communicate()
    harm = _unreadable(run, epoch) if name == "checkpoint" else damaged(run, before)
    done = whole_files(run)["checkpoint"]
    again = start(model, run)
    _, errors = again.communicate()
    return {
        "fault": "SIGKILL",
        "moment": f"{name} of epoch {epoch}" if "checkpoint" in name else name,
        "seconds": round(seconds, 3),
        "epochs_done": done,
        "exit_code": process.returncode,
        "earlier_files_damaged": "; ".join(harm) or "none",
        "resumed": "yes" if again.returncode == 0 else errors[-200:],
        "bit_identical": "yes" if again.returncode == 0 and end_of(run) == expected else "no",
    }


def _unreadable(run: Path, epoch: int) -> list[str]:
    """For a kill during a checkpoint, where there is no time to look before: the one before must be whole."""
    last = last_checkpoint(run / "checkpoints")
    done = int(last.name.split("-")[1]) if last else 0
    return [] if done >= epoch - 1 and rows(run) >= epoch - 1 else [f"checkpoint of epoch {epoch - 1}"]


def fill_the_disk(folder: Path, model: Path, kilobytes: int, expected: dict) -> dict:
    """A run on a disk too small for it, and once more after the disk was made larger."""
    disk = folder / "small_disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk], check=True)
    try:
        run, start_time = disk / "run", time.perf_counter()
        process = start(model, run)
        _, errors = process.communicate()
        seconds = time.perf_counter() - start_time
        sentence = [line for line in errors.splitlines() if line.startswith("tost-train: error: the disk of the run")]
        last = last_checkpoint(run / "checkpoints")
        told = len(sentence) == 1 and "Traceback" not in errors and (last is None or str(last) in sentence[0])
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        again = start(model, run)
        again.communicate()
        return {
            "fault": "disk full",
            "moment": f"{kilobytes} kB",
            "seconds": round(seconds, 3),
            "epochs_done": int(last.name.split("-")[1]) if last else 0,
            "exit_code": process.returncode,
            "earlier_files_damaged": "none" if told else f"not told: {errors[-200:]}",
            "resumed": "yes" if again.returncode == 0 else "no",
            "bit_identical": "yes" if again.returncode == 0 and end_of(run) == expected else "no",
        }
    finally:
        subprocess.run(["umount", disk], check=True)


def make_the_weights_grow(folder: Path, model: Path) -> dict:
    """A run whose L2 penalty makes its weights grow without end: the last finite checkpoint must stay."""
    run, start_time = folder / "infinite", time.perf_counter()
    process = start(model, run, INFINITE)
    _, errors = process.communicate()
    last = last_checkpoint(run / "checkpoints")
    finite = last is None or all(np.isfinite(value).all() for value in _floats(last))
    return {
        "fault": "not finite",
        "moment": errors.strip().splitlines()[-1].partition("training stopped, ")[2].partition(":")[0],
        "seconds": round(time.perf_counter() - start_time, 3),
        "epochs_done": int(last.name.split("-")[1]) if last else 0,
        "exit_code": process.returncode,
        "earlier_files_damaged": "none" if finite and "training stopped" in errors else errors[-200:],
        "resumed": "",
        "bit_identical": "",
    }


def _floats(checkpoint: Path) -> list[np.ndarray]:
    reader = tf.train.load_checkpoint(str(checkpoint))
    values = [np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()]
    return [value for value in values if value.dtype.kind == "f"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/faults.csv"))
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder, model = Path(scratch), Path(scratch, "little.keras")
        network().save(model)
        process = start(model, folder / "undisturbed")
        _, errors = process.communicate()
        if process.returncode:
            raise TostError(f"the undisturbed run failed: {errors[-500:]}")
        expected = end_of(folder / "undisturbed")
        names = list(moments(folder, 1))
        drawn = [names[index % len(names)] for index in range(arguments.kills)]
        found = []
        for name in drawn:
            found.append(kill_once(folder, model, name, generator, expected))
            print(json.dumps(found[-1]), flush=True)
        if os.geteuid() == 0:
            for kilobytes in (12, 110, 150, 200, 300):
                found.append(fill_the_disk(folder, model, kilobytes, expected))
                print(json.dumps(found[-1]), flush=True)
        found.append(make_the_weights_grow(folder, model))
        print(json.dumps(found[-1]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.out, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    if any("no" in (row["resumed"], row["bit_identical"]) or row["earlier_files_damaged"] != "none" for row in found):
        sys.exit("a fault did harm, see the table")


if __name__ == "__main__":
    main()
