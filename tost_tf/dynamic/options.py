"""The options of dynamic sparse training and of superposing tickets."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from tost_tf.errors import TostError
from tost_tf.options import Condition, none_of, one_of, option
from tost_tf.registry import DYNAMIC_METHODS, GROWTHS

if TYPE_CHECKING:
    from tost_tf.dynamic.method import DynamicMethod

NOT_DYNAMIC = "none"
NOT_SUPERPOSED = "none"
IF_DYNAMIC = {"dynamic": none_of(NOT_DYNAMIC)}
IF_SUPERPOSED = {"superpose": none_of(NOT_SUPERPOSED)}


def _prunes(method: str) -> bool:
    return method in DYNAMIC_METHODS and DYNAMIC_METHODS[method].prunes


@dataclasses.dataclass(frozen=True)
class DynamicConfig:
    """Whether and how the mask changes during training. The defaults are RigL's (Evci et al. 2020)."""

    dynamic: str = option(NOT_DYNAMIC, "how weights are dropped and grown", names=DYNAMIC_METHODS, also=(NOT_DYNAMIC,))
    update_every: int = option(100, "steps between updates of the mask", minimum=1, only_with=IF_DYNAMIC)
    drop_fraction: float = option(
        0.3,
        "fraction of each layer's kept weights that an update drops, at the start of training",
        above=0,
        maximum=1,
        only_with=IF_DYNAMIC,
    )
    drop_schedule: str = option(
        "cosine",
        "how the drop fraction changes until the masks stay fixed",
        names=("cosine", "constant"),
        only_with=IF_DYNAMIC,
    )
    dynamic_end_fraction: float = option(
        0.75, "fraction of all epochs after which the mask stays fixed", above=0, maximum=1, only_with=IF_DYNAMIC
    )
    initial_sparsity: float = option(
        0.5,
        "the sparsity at which granet starts; it ends at sparsity",
        minimum=0,
        below=1,
        only_with={"dynamic": Condition(_prunes, "granet")},
    )

    @property
    def is_on(self) -> bool:
        return self.dynamic != NOT_DYNAMIC

    @property
    def method(self) -> DynamicMethod:
        """The method that `dynamic` names."""
        return DYNAMIC_METHODS[self.dynamic]

    @property
    def prunes(self) -> bool:
        """Whether training starts at `initial_sparsity`."""
        return self.is_on and self.method.prunes

    def end_step(self, epochs: int, ordinary_epochs: int, steps_per_epoch: int) -> int:
        """The number of steps of the phase in which masks change; it ends with ordinary training at the latest."""
        steps = round(self.dynamic_end_fraction * epochs * steps_per_epoch, 4)
        return min(math.floor(steps), ordinary_epochs * steps_per_epoch)

    def last_update(self, epochs: int, ordinary_epochs: int, steps_per_epoch: int) -> int:
        """The number (from 1) of the step after which the last update is made. It is before the end of the phase.

        So each update drops something (the cosine is zero at the end), and at least one more training step follows.

        Raises:
          TostError: there would be no update.
        """
        end = self.end_step(epochs, ordinary_epochs, steps_per_epoch)
        last = (end - 1) // self.update_every * self.update_every
        if last < 1:
            raise TostError(
                f"update_every={self.update_every} leaves no update: masks change only in the first {end} steps; "
                "choose a smaller number, or train longer"
            )
        return last


@dataclasses.dataclass(frozen=True)
class SuperposeConfig:
    """Whether cheap tickets are superposed at the end. The defaults are those of Sup-tickets' released code."""

    superpose: str = option(
        NOT_SUPERPOSED,
        "train cheap tickets in the last epochs and average them: caa is the mean of all, cima a moving average",
        names=("caa", "cima"),
        also=(NOT_SUPERPOSED,),
    )
    cycle_fraction: float = option(
        0.1, "fraction of the epochs used for cycles", minimum=0, below=1, only_with=IF_SUPERPOSED
    )
    cycle_epochs: int = option(
        8, "epochs of a cycle; each cycle ends with a ticket", minimum=1, only_with=IF_SUPERPOSED
    )
    cycle_drop_fraction: float = option(
        0.5,
        "fraction of each layer's kept weights that is dropped at the start of a cycle",
        above=0,
        maximum=1,
        only_with=IF_SUPERPOSED | {"cycle_growth": none_of("none")},
    )
    cycle_growth: str = option(
        "auto",
        "how as many weights grow: auto is as dynamic does, or gradient if the mask was fixed; none leaves the mask "
        "unchanged",
        names=GROWTHS,
        also=("auto", "none"),
        only_with=IF_SUPERPOSED,
    )
    cycle_low_learning_rate: float = option(
        0.001, "learning rate at both ends of a cycle", minimum=0, only_with=IF_SUPERPOSED
    )
    cycle_high_learning_rate: float = option(
        0.005, "learning rate in the middle of a cycle", above=0, only_with=IF_SUPERPOSED
    )
    cima_factor: float = option(
        0.5,
        "coefficient of the newest ticket in the moving average of cima",
        above=0,
        maximum=1,
        only_with={"superpose": one_of("cima")},
    )

    @property
    def is_on(self) -> bool:
        return self.superpose != NOT_SUPERPOSED

    def cycles(self, epochs: int) -> int:
        """The number of complete cycles in a run of `epochs` epochs; all other epochs are ordinary training.

        Raises:
          TostError: the cycles' fraction of the epochs is too short for one cycle.
        """
        if not self.is_on:
            return 0
        room = round(self.cycle_fraction * epochs, 4)
        if 0 < room < self.cycle_epochs:
            raise TostError(
                f"cycle_fraction={self.cycle_fraction:g} of epochs={epochs} is {room:.6g} epochs, fewer than "
                f"cycle_epochs={self.cycle_epochs}: no ticket would be made"
            )
        return int(room // self.cycle_epochs)

    def ordinary_epochs(self, epochs: int) -> int:
        """How many of `epochs` epochs are ordinary training, before the first cycle."""
        return epochs - self.cycles(epochs) * self.cycle_epochs
