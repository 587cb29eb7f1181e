"""The options of `tost-sweep`, beside those of the runs."""

from __future__ import annotations

import dataclasses

from tost_tf.options import option


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Which runs, and where they take place.

    `case` and `skip` may be given many times; the others once, the last counts.
    """

    case: str = option(
        "",
        "AXIS/NAME: FLAGS, one value of an axis whose values are several flags that belong together; give it once for "
        "each, as '--case=tweak/late: --recipe=tost --ghost_end_epoch=30'",
    )
    skip: str = option("", "leave out cells with all of these, as mask=erk,sparsity=0.95; may be given many times")
    only: str = option("", "run only cells with all of these, as mask=snip,seed=0")
    before: str = option("", "flagfiles of whole runs that come first, with | between them, such as a teacher's")
    runs_dir: str = option("", "folder of the runs (by default runs/NAME, by the last flagfile that is named)")
    jobs: int = option(1, "runs at a time, each with its share of the cores", minimum=1, maximum=1024)
    threads: int = option(
        0,
        "CPU threads of a run; 0 for the cores shared among --jobs, or with --scheduler as its machine has",
        minimum=0,
    )
    scheduler: str = option("", "address of a Dask scheduler, as tcp://HOST:8786; by default a cluster of its own here")
    dry_run: bool = option(False, "print the command of each run, one a line, and start none")
