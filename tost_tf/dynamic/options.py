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
    """Whether and how the mask changes while training. The defaults are RigL's (Evci et al. 2020)."""

    dynamic: str = option(NOT_DYNAMIC, "how weights are dropped and grown", names=DYNAMIC_METHODS, also=(NOT_DYNAMIC,))
    update_every: int = option(100, "steps between updates of the mask", minimum=1, only_with=IF_DYNAMIC)
    drop_fraction: float = option(
        0.3,
        "share of each layer's kept weights that an update drops at the start",
        above=0,
        maximum=1,
        only_with=IF_DYNAMIC,
    )
    drop_schedule: str = option(
        "cosine",
        "how that share falls until the masks stay",
        names=("cosine", "constant"),
        only_with=IF_DYNAMIC,
    )
    dynamic_end_fraction: float = option(
        0.75, "share of all epochs after which the mask stays as it is", above=0, maximum=1, only_with=IF_DYNAMIC
    )
    initial_sparsity: float = option(
        0.5,
        "where granet starts; it ends at sparsity",
        minimum=0,
        below=1,
        only_with={"dynamic": Condition(_prunes, "granet")},
    )

    @property
    def is_on(self) -> bool:
        return self.dynamic != NOT_DYNAMIC

    @property
    def method(self) -> DynamicMethod:
        """What `dynamic` names."""
        return DYNAMIC_METHODS[self.dynamic]

    @property
    def prunes(self) -> bool:
        """Whether training starts at `initial_sparsity`."""
        return self.is_on and self.method.prunes

    def end_step(self, epochs: int, ordinary_epochs: int, steps_per_epoch: int) -> int:
        """How many steps the phase has in which masks change; it is over when ordinary training is, at the latest."""
        share = round(self.dynamic_end_fraction * epochs * steps_per_epoch, 4)
        return min(math.floor(share), ordinary_epochs * steps_per_epoch)

    def last_update(self, epochs: int, ordinary_epochs: int, steps_per_epoch: int) -> int:
        """The step, counted from 1, after which the last update comes: before the end of the phase.

        So the cosine, which is zero at the end, leaves each update something to drop, and a step of ordinary training
        follows at least.

        Raises:
          TostError: there is not a single update.
        """
        end = self.end_step(epochs, ordinary_epochs, steps_per_epoch)
        last = (end - 1) // self.update_every * self.update_every
        if last < 1:
            raise TostError(
                f"update_every={self.update_every} leaves no update: masks change in the first {end} steps only, "
                "so take fewer than that, or train longer"
            )
        return last


@dataclasses.dataclass(frozen=True)
class SuperposeConfig:
    """Whether cheap tickets are superposed at the end. The defaults are those of Sup-tickets' released code."""

    superpose: str = option(
        NOT_SUPERPOSED,
        "train cheap tickets in the last epochs and average them: caa for the mean of all, cima for a moving average",
        names=("caa", "cima"),
        also=(NOT_SUPERPOSED,),
    )
    cycle_fraction: float = option(
        0.1, "share of the epochs that is for cycles", minimum=0, below=1, only_with=IF_SUPERPOSED
    )
    cycle_epochs: int = option(
        8, "epochs of a cycle, at whose end there is a ticket", minimum=1, only_with=IF_SUPERPOSED
    )
    cycle_drop_fraction: float = option(
        0.5,
        "share of each layer's kept weights that is dropped where a cycle starts",
        above=0,
        maximum=1,
        only_with=IF_SUPERPOSED | {"cycle_growth": none_of("none")},
    )
    cycle_growth: str = option(
        "auto",
        "where as many grow: auto for as dynamic grows them, and by gradient where the mask was fixed; none leaves "
        "the mask as it is",
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
        "weight of the newest ticket in the moving average of cima",
        above=0,
        maximum=1,
        only_with={"superpose": one_of("cima")},
    )

    @property
    def is_on(self) -> bool:
        return self.superpose != NOT_SUPERPOSED

    def cycles(self, epochs: int) -> int:
        """How many whole cycles there are in a run of `epochs` epochs; the others are of ordinary training.

        Raises:
          TostError: cycles are wanted, but there is no room for one.
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
        """How many of `epochs` epochs are trained as always, before the first cycle."""
        return epochs - self.cycles(epochs) * self.cycle_epochs
