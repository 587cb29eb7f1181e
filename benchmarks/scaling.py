"""Images a second on one device and on several, and what the strategies, XLA and 16 bits cost on a CPU.

    python benchmarks/scaling.py [--steps 12] [--out benchmarks/results/scaling.json]

ResNet-20 on images of CIFAR's size, masked at 95%, no ghosts, SGD, batches of 64 in all. Each case is a process (two
for two workers, over loopback) of its own; the fastest step counts, as other programs may run. What a strategy costs at
world size 1 is measured in one process, with the same network without it taking turns. Where it says "one
thread", each device has one thread, so that two devices have two cores and one has one; else TensorFlow shares all
cores out as it likes, and one device uses both already.

Also counted: the collective operations in the traced step of two devices, for the masked and the dense network.
"""

import argparse
import dataclasses
import json
import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH = 64
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A measurement: options of the run, the replicas it forces a strategy for, and its processes."""

    options: tuple[tuple[str, object], ...] = ()
    always_mirrored: bool = False
    workers: int = 0
    one_thread: bool = False


CASES = {
    "no strategy": Case(),
    "mirrored, one device": Case(always_mirrored=True),
    "mirrored, two devices": Case((("virtual_devices", 2),)),
    "multi_worker, one worker": Case((("distribution", "multi_worker"),), workers=1),
    "multi_worker, two workers": Case((("distribution", "multi_worker"),), workers=2),
    "no strategy, one thread": Case(one_thread=True),
    "multi_worker, two workers, one thread": Case((("distribution", "multi_worker"),), workers=2, one_thread=True),
    "jit_compile": Case((("jit_compile", True),)),
    "bfloat16": Case((("mixed_precision", "bfloat16"),)),
    "float16": Case((("mixed_precision", "float16"),)),
}


def measure(case: Case, steps: int) -> dict[str, object]:
    """The fastest step of a case in this process, in seconds, and what its devices send each other."""
    import numpy as np

    import tost_tf as tost
    from tost_tf.compat import tf
    from tost_tf.experiment.options import RunConfig
    from tost_tf.experiment.run.collectives import collective_operations
    from tost_tf.experiment.run.devices import distribution_strategy, split_cpu
    from tost_tf.experiment.run.network import add_ghosts_and_compile

    config = RunConfig.make(recipe="default", **dict(case.options))
    split_cpu(config.machine.virtual_devices)
    strategy = (
        tf.distribute.MirroredStrategy(["CPU:0"]) if case.always_mirrored else distribution_strategy(config.machine)
    )
    dense = tost.models.build("resnet20", (32, 32, 3), 10)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(BATCH, 32, 32, 3)).astype(np.float32)
    labels = np.eye(10, dtype=np.float32)[generator.integers(0, 10, BATCH)]
    batches = tf.data.Dataset.from_tensors((images, labels)).cache().repeat()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    batches = batches.with_options(options)

    def model(masks, strategy):
        with strategy.scope():
            return add_ghosts_and_compile(config, dense, masks)

    def one_step(model):
        function = model.make_train_function()
        iterator = iter(model.distribute_strategy.experimental_distribute_dataset(batches))
        return lambda: float(function(iterator)["loss"])

    masks = tost.masks.random(dense, sparsity=0.95)
    masked = model(masks, strategy)
    functions = {"step": one_step(masked)}
    if strategy is not tf.distribute.get_strategy() and strategy.num_replicas_in_sync == 1:
        functions["step without the strategy"] = one_step(model(masks, tf.distribute.get_strategy()))
    times = {name: [] for name in functions}
    for _ in range(steps + 2):  # they take turns; the first two of each are tracing and warming up
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    result = {name: min(own[2:]) for name, own in times.items()} | {"replicas": strategy.num_replicas_in_sync}
    if case == CASES["mirrored, two devices"]:
        counts = {
            name: collective_operations(one, batches)
            for name, one in (("masked", masked), ("dense", model(None, strategy)))
        }
        result["collectives"] = {
            name: {f"{kind} of {size} numbers": times for (kind, size), times in sorted(count.items())}
            for name, count in counts.items()
        }
    return result


def run(name: str, steps: int) -> dict[str, object]:
    """Measures a case in processes of its own."""
    case = CASES[name]
    environment = os.environ | (ONE_THREAD if case.one_thread else {})
    command = [sys.executable, __file__, "--case", name, "--steps", str(steps)]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(case.workers)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    processes = []
    for index in range(max(1, case.workers)):
        own = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        variables = {"TF_CONFIG": json.dumps(own)} if case.workers else {}
        processes.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment | variables
            )
        )
    answers = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, answers, strict=True):
        if process.returncode:
            sys.exit(f"{name} failed: {errors[-2000:]}")
    return json.loads(answers[0][0].splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scaling.json"))
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(CASES[arguments.case], arguments.steps)))
        return
    found = {}
    for name in CASES:
        found[name] = run(name, arguments.steps)
        print(f"{name:40} {BATCH / found[name]['step']:8.1f} images per second", flush=True)
    step = {name: one["step"] for name, one in found.items()}
    result = {
        "command": f"python benchmarks/scaling.py --steps {arguments.steps}",
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, load {os.getloadavg()[1]:.1f}",
        "images_per_second": {name: round(BATCH / seconds, 1) for name, seconds in step.items()},
        "ratios of steps": {
            f"{name} / no strategy, taking turns": round(step[name] / found[name]["step without the strategy"], 3)
            for name in ("mirrored, one device", "multi_worker, one worker")
        }
        | {
            "two workers / one process, one thread each": round(
                step["multi_worker, two workers, one thread"] / step["no strategy, one thread"], 3
            ),
            "jit_compile / no strategy": round(step["jit_compile"] / step["no strategy"], 3),
        },
        "collectives in a step of two devices": found["mirrored, two devices"]["collectives"],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
