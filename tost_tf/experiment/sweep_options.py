"""The options of `tost-sweep`, in addition to those of the runs."""

from __future__ import annotations

import dataclasses

from tost_tf.options import option


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Which runs, and on which machines.

    `case` and `skip` may be given several times; of the others, the last one counts.
    """

    case: str = option(
        "",
        "AXIS/NAME: FLAGS, one value of an axis whose values are several flags; give it once for each value, such as "
        "'--case=tweak/late: --recipe=tost --ghost_end_epoch=30'",
    )
    skip: str = option("", "leave out cells with all of these, such as mask=erk,sparsity=0.95; may be repeated")
    only: str = option("", "run only cells with all of these, such as mask=snip,seed=0")
    before: str = option("", "flagfiles of complete runs that come first, separated by |, such as a teacher's")
    runs_dir: str = option("", "folder of the runs (by default runs/NAME, with the name of the last flagfile)")
    jobs: int = option(1, "runs at a time, each with its part of the cores", minimum=1, maximum=1024)
    threads: int = option(
        0,
        "CPU threads of a run; 0 divides the cores among --jobs, or with --scheduler leaves it to TensorFlow",
        minimum=0,
    )
    scheduler: str = option(
        "", "address of a Dask scheduler, such as tcp://HOST:8786; by default a cluster is started on this machine"
    )
    dry_run: bool = option(False, "print the command of each run in a line, and start none")
