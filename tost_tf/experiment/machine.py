"""The options for devices and folders of a run, and for measurements during training."""

from __future__ import annotations

import dataclasses

from tost_tf.options import none_of, one_of, option


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """What is measured during training, for tost-analyze."""

    gradient_flow_every: int = option(
        0, "steps between measurements of the average gradient flow; 0 for none", minimum=0
    )
    hessian_every: int = option(
        0, "epochs between measurements of the Hessian's largest eigenvalues; 0 for none", minimum=0
    )
    record_examples: int = option(
        256,
        "training images for these measurements",
        minimum=1,
        only_with_one={"gradient_flow_every": none_of(0), "hessian_every": none_of(0)},
    )


@dataclasses.dataclass(frozen=True)
class MachineConfig:
    """Where it runs and where results go."""

    distribution: str = option(
        "auto",
        "devices: none is one, mirrored all GPUs of this machine, auto mirrored if there are several, else none; "
        "multi_worker those of all machines in TF_CONFIG; tpu a TPU",
        names=("auto", "none", "mirrored", "multi_worker", "tpu"),
    )
    virtual_devices: int = option(
        0,
        "split the CPU into this many devices, to try out mirrored without GPUs; 0 does not split it",
        minimum=0,
        maximum=64,
        only_with={"distribution": one_of("auto", "mirrored")},
    )
    worker_timeout: float = option(
        600.0,
        "seconds that a worker waits for another before it gives up",
        above=0,
        only_with={"distribution": one_of("multi_worker")},
    )
    mixed_precision: str = option(
        "none",
        "compute in float16 (with loss scaling) or bfloat16; weights, logits and exports stay float32",
        names=("none", "float16", "bfloat16"),
    )
    jit_compile: bool = option(False, "compile the training step with XLA, for a GPU; on a CPU it is slower")
    compact_training: bool = option(
        False,
        "leave the channels that the mask makes dead out of training, from the first step without ghosts: faster, and "
        "all results are those of training with them, up to rounding",
        only_with={"mask": none_of("none"), "ghost_end_epoch": none_of(-1)},
    )
    run_dir: str = option("", "folder of the run's results (by default in runs/, named after the options)")
