"""Lottery tickets by iterative magnitude pruning (Frankle and Carbin 2019; rewinding: Frankle et al. 2019).

In each round: train, prune a fraction of the remaining weights by magnitude, and reset the others to their values at an
earlier epoch. The ticket is the mask together with the rewound weights.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tost_tf.compat import keras
from tost_tf.errors import TostError, unknown_name
from tost_tf.files import read_json, write_json
from tost_tf.graph.batches import Batches, Data
from tost_tf.graph.kernels import ranked_weights
from tost_tf.graph.logits import classes_of
from tost_tf.graph.weights import load_weights, save_weights
from tost_tf.masks.allocate import require_room, require_sparsity
from tost_tf.masks.magnitude import find as by_magnitude
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern, parsed_pattern, requested_sparsity
from tost_tf.masks.patterns.unstructured import Unstructured
from tost_tf.masks.random import find as at_random
from tost_tf.masks.search import FoundMask, MaskMethod, MaskSearch
from tost_tf.masks.sparsify import sparsify, strip
from tost_tf.options import option
from tost_tf.ranges import require_number

MODES = ("rewind", "lr_rewind")
PLAN = "plan.json"

# Trains a sparse model in place from one epoch to another and returns its accuracy.
RoundTrainer = Callable[["keras.Model", int, int], float]


@dataclasses.dataclass(frozen=True)
class LotteryOptions:
    """The search for a lottery ticket."""

    lottery_epochs: int = option(180, "epochs of training in each round of a lottery ticket", minimum=1)
    lottery_fraction: float = option(
        0.2, "fraction of the remaining weights pruned after each round of a lottery ticket", above=0, below=1
    )
    rewind_epoch: int = option(
        0, "epoch to whose weights a lottery ticket is rewound; 0 is the initialisation", minimum=0
    )
    lottery_mode: str = option(
        "rewind",
        "after a round, reset the weights to earlier values (rewind), or keep the trained weights and restart only the "
        "learning-rate schedule (lr_rewind)",
        names=MODES,
    )


@dataclasses.dataclass(frozen=True)
class LotteryPlan:
    """The settings of a search for a ticket.

    Attributes:
      sparsity: of the ticket.
      epochs: of training in each round.
      fraction: of the remaining weights pruned after each round.
      rewind_epoch: the epoch to whose weights the ticket is rewound, 0 for the initialisation.
      mode: "rewind", or "lr_rewind": trained weights are kept and only the learning-rate schedule restarts (Renda et
        al. 2020).
      dense_layers: regular expression of layers left dense.
      pattern: of the masks of all rounds; on the way to N:M, rounds keep more of M.
    """

    sparsity: float
    epochs: int
    fraction: float = 0.2
    rewind_epoch: int = 0
    mode: str = "rewind"
    dense_layers: str = ""
    pattern: Pattern = dataclasses.field(default_factory=Unstructured)

    def __post_init__(self):
        require_sparsity(self.sparsity)
        require_number("epochs", self.epochs, whole=True, minimum=1)
        require_number("fraction", self.fraction, above=0, below=1)
        require_number("rewind_epoch", self.rewind_epoch, whole=True, minimum=0)
        if self.rewind_epoch >= self.epochs:
            raise TostError(f"rewind_epoch is {self.rewind_epoch}, it must be below epochs={self.epochs}")
        if self.mode not in MODES:
            raise unknown_name("lottery mode", self.mode, MODES)

    @property
    def rounds(self) -> int:
        """The number of rounds needed to reach the sparsity; the last round may prune a smaller fraction."""
        return math.ceil(round(math.log(1 - self.sparsity) / math.log(1 - self.fraction), 9))

    def sparsity_after(self, rounds: int) -> float:
        """The sparsity after that many rounds."""
        return self.sparsity if rounds >= self.rounds else 1 - (1 - self.fraction) ** rounds


def _found(
    find: Callable[[MaskSearch], FoundMask],
    model: keras.Model,
    sparsity: float | None,
    dense_layers: str = "",
    pattern: str | Pattern = UNSTRUCTURED,
) -> Masks:
    """The masks of one round, without logging what stays dense: the search logs that once."""
    return find(MaskSearch(model, sparsity, dense_layers=dense_layers, names_left_dense=False, pattern=pattern)).masks


class LotterySearch:
    """Searches for a ticket. If it has a folder, each round is saved there, and a stopped search can resume.

    Args:
      plan: the settings.
      train: trains a round.
      folder: where rounds are saved, `None` for nowhere.
    """

    def __init__(self, plan: LotteryPlan, train: RoundTrainer, folder: Path | None = None):
        self.plan, self.train, self.folder = plan, train, folder

    def find(self, model: keras.Model) -> Masks:
        """Finds the masks and sets the weights of `model` to the ticket's (pruned ones to zero).

        Raises:
          TostError: a layer would be empty after the last round; then nothing is trained.
        """
        weights = ranked_weights(model, self.plan.dense_layers)
        sizes = {path: weight.shape.num_elements() for path, weight in weights.items()}
        require_room(sizes, self.plan.sparsity, "global")
        self.plan.pattern.selection(model, self.plan.dense_layers)  # which refuses shapes that do not divide
        self._require_same_plan()
        done, masks = self._resume(model)
        start = time.perf_counter()
        for number in range(done + 1, self.plan.rounds + 1):
            sparse = sparsify(model, masks)
            first = 0
            if self.plan.rewind_epoch and number == 1:
                self.train(sparse, 0, self.plan.rewind_epoch)
                model.set_weights(strip(sparse).get_weights())
                first = self.plan.rewind_epoch
            elif self.plan.mode == "rewind":
                first = self.plan.rewind_epoch
            accuracy = self.train(sparse, first, self.plan.epochs)
            masks = self._pruned(sparse, number)
            if self.plan.mode == "lr_rewind":
                model.set_weights(strip(sparse).get_weights())
            self._keep(number, masks, model)
            left = (time.perf_counter() - start) / (number - done) * (self.plan.rounds - number)
            print(
                f"round {number} of {self.plan.rounds}: accuracy {100 * accuracy:.2f}%, then density "
                f"{1 - masks.sparsity:.4f}, about {left / 60:.1f} min left",
                flush=True,
            )
        model.set_weights(strip(sparsify(model, masks)).get_weights())
        MaskSearch(model, self.plan.sparsity, dense_layers=self.plan.dense_layers).name_left_dense()
        return masks

    def _pruned(self, sparse: keras.Model, number: int) -> Masks:
        sparsity = self.plan.sparsity_after(number)
        pattern = self.plan.pattern.at(sparsity)
        fixed = pattern.sparsity is not None
        return _found(by_magnitude, sparse, None if fixed else sparsity, self.plan.dense_layers, pattern)

    def _resume(self, model: keras.Model) -> tuple[int, Masks]:
        """The number of rounds done and the masks after them; loads the weights of the next round into `model`."""
        for number in range(self.plan.rounds, 0, -1) if self.folder is not None else ():
            if self._file("mask", number).exists():  # written last
                load_weights(model, self._file("weights", number))
                print(f"resuming after round {number} of {self.plan.rounds}", flush=True)
                return number, Masks.load(self._file("mask", number))
        return 0, _found(at_random, model, 0.0)

    def _keep(self, number: int, masks: Masks, model: keras.Model) -> None:
        if self.folder is None:
            return
        write_json(self.folder / PLAN, self._plan())
        save_weights(model, self._file("weights", number))
        masks.save(self._file("mask", number))
        # The masks of all rounds are kept: each is a ticket with another sparsity. The weights are large.
        self._file("weights", number - 1).unlink(missing_ok=True)

    def _plan(self) -> dict[str, Any]:
        """The settings on which the rounds depend, as JSON has them."""
        names = ("sparsity", "epochs", "fraction", "rewind_epoch", "mode", "dense_layers")
        return {name: getattr(self.plan, name) for name in names} | {"pattern": repr(self.plan.pattern)}

    def _require_same_plan(self) -> None:
        """Raises `TostError` if the folder has the rounds of a search with other settings."""
        saved = {} if self.folder is None else read_json(self.folder / PLAN)
        changed = [name for name, value in self._plan().items() if saved.get(name, value) != value]
        if changed:
            raise TostError(
                f"{self.folder} has rounds of a search with other settings ({', '.join(changed)}): choose another "
                "folder"
            )

    def _file(self, kind: str, number: int) -> Path:
        assert self.folder is not None  # else nothing is saved
        return self.folder / f"{kind}-{number}.npz"


def lottery(
    model: keras.Model,
    dataset: Data,
    *,
    epochs: int,
    sparsity: float | None = None,
    fraction: float = 0.2,
    rewind_epoch: int = 0,
    mode: str = "rewind",
    dense_layers: str = "",
    pattern: str | Pattern = UNSTRUCTURED,
    compile: Callable[[keras.Model], None] | None = None,
    folder: Path | None = None,
) -> Masks:
    """Finds a lottery ticket: returns the masks, and sets the weights of `model` to those that belong to them.

    Args:
      model: freshly initialised.
      dataset: one epoch of inputs and labels (with the default loss one-hot, or integers): a `tf.data.Dataset`, a
        `keras.utils.Sequence`, or arrays (inputs, labels).
      epochs, sparsity, fraction, rewind_epoch, mode, dense_layers, pattern: as in `LotteryPlan`; not both a sparsity
        and a pattern that fixes it.
      compile: compiles a model for a round, with an "accuracy" metric; by default SGD with momentum 0.9, learning rate
        0.1 and cross-entropy.
      folder: where each round is saved, so that a stopped search can resume.

    Raises:
      TostError: a value is out of range.

    Examples:
      >>> tost.masks.lottery(model, (images, labels), sparsity=0.5, epochs=1, fraction=0.3)
      round 1 of 2: accuracy ...
      round 2 of 2: accuracy ...
      Masks(3 layers, 692 of 1384 weights kept, sparsity 0.5000)
    """
    data = Batches(dataset)
    if not data.is_repeatable:
        raise TostError("each round trains on all of the data, which an iterator gives once: give a Dataset or arrays")
    kind = parsed_pattern(pattern)
    plan = LotteryPlan(
        requested_sparsity(sparsity, kind), epochs, fraction, rewind_epoch, mode, dense_layers, pattern=kind
    )

    def default_compile(sparse: keras.Model) -> None:
        _, labels = next(iter(data))
        one_hot = len(labels.shape) == 2 and labels.shape[-1] == classes_of(model)
        kind = keras.losses.CategoricalCrossentropy if one_hot else keras.losses.SparseCategoricalCrossentropy
        loss = kind(from_logits=True)
        sparse.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])

    def train(sparse: keras.Model, first: int, last: int) -> float:
        (compile or default_compile)(sparse)
        history = sparse.fit(**data.for_fit(), initial_epoch=first, epochs=last, verbose=0).history
        if "accuracy" not in history:
            raise TostError(f"compile has to give a metric called 'accuracy'; there are {', '.join(history)}")
        return float(history["accuracy"][-1])

    return LotterySearch(plan, train, Path(folder) if folder else None).find(model)


def find(search: MaskSearch, options: LotteryOptions) -> FoundMask:
    """The ticket: the masks, and the weights they belong to."""
    if search.train is None:
        raise TostError("a lottery ticket is found by training, which is not possible here")
    if any(not mask.all() for mask in search.pruned().values()):
        raise TostError(
            f"a lottery ticket is searched for in a dense network, but {search.model.name} has pruned weights"
        )
    search_train = search.train
    pattern = parsed_pattern(search.pattern)
    plan = LotteryPlan(
        requested_sparsity(search.sparsity, pattern),
        options.lottery_epochs,
        options.lottery_fraction,
        options.rewind_epoch,
        options.lottery_mode,
        search.dense_layers,
        pattern,
    )

    def train(sparse: keras.Model, first: int, last: int) -> float:
        return search_train(sparse, first, last, plan.epochs)

    masks = LotterySearch(plan, train, search.folder).find(search.model)
    return FoundMask(masks, search.model.get_weights())


METHOD = MaskMethod(find, LotteryOptions, has_scope=False, has_layer_sparsity=False)
