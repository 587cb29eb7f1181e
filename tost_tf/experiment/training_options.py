"""The training loop of a run."""

from __future__ import annotations

import dataclasses

from tost_tf.options import Condition, one_of, option
from tost_tf.registry import OPTIMIZERS, RATE_SCHEDULES

STEP_SCHEDULE = "step"
IF_STEP = {"schedule": one_of(STEP_SCHEDULE)}


def _has_momentum(optimizer: str) -> bool:
    return optimizer in OPTIMIZERS and OPTIMIZERS[optimizer].has_momentum


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The training loop. The defaults are the paper's, Section 3.1."""

    epochs: int = option(180, "passes over the training images", minimum=1, maximum=10**6)
    batch_size: int = option(128, "images per step, over all devices together", minimum=1, maximum=10**6)
    optimizer: str = option(
        "sgd",
        "the optimizer: sgd as in the paper; orthogonal and lars are SGD with steps of a fixed fraction of each "
        "kernel's norm, along the orthogonalised momentum or the momentum; adamw",
        names=OPTIMIZERS,
    )
    schedule: str = option(
        STEP_SCHEDULE,
        "how the learning rate falls: step at --lr_drop_epochs, cosine at every training step",
        names=RATE_SCHEDULES,
        also=(STEP_SCHEDULE,),
    )
    learning_rate: float | None = option(
        None,
        "initial learning rate, for orthogonal and lars the fraction of a kernel's norm (by default 0.1 for sgd, "
        "0.025 for orthogonal, 0.05 for lars, 0.001 for adamw)",
        above=0,
    )
    lr_drop_epochs: tuple[int, ...] | None = option(
        None,
        "epochs at which the learning rate drops (by default at 1/2 and 3/4 of all)",
        minimum=1,
        only_with=IF_STEP,
    )
    lr_drop_factor: float = option(
        0.1,
        "factor of the learning rate at a drop",
        above=0,
        maximum=1,
        only_with=IF_STEP | {"lr_drop_epochs": Condition(lambda epochs: epochs != (), "EPOCHS")},
    )
    momentum: float = option(
        0.9,
        "momentum of SGD",
        minimum=0,
        below=1,
        only_with={"optimizer": Condition(_has_momentum, "(one that has momentum)")},
    )
    weight_decay: float = option(
        2e-4,
        "factor of the L2 penalty of every trainable weight; for orthogonal not of kernels with orthogonal steps; for "
        "adamw the decoupled weight decay",
        minimum=0,
    )
    seed: int = option(0, "seed of everything random in the run", minimum=0, maximum=2**31 - 1)
    deterministic: bool = option(False, "get bit-identical weights in every launch, at some cost in speed")
    resume: bool = option(True, "resume the run in --run_dir if there is one; --noresume refuses")
