"""The training recipes: the tweaks as data, and what each recipe sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tost_tf.ghost import NO_GHOST
from tost_tf.options import none_of, one_of, option
from tost_tf.registry import BETA_SCHEDULES, GHOST_GATES, GHOST_NEURONS, GHOST_SCHEDULES, GHOST_SKIPS, OPTIMIZER_TWEAKS

NO_TWEAK = "none"
HAM, SIGN_IN = "ham", "sign_in"
DYRELU = "dyrelu"
TRAIN_TEACHER = "train"
IF_NEURONS = {"ghost_neurons": none_of(NO_GHOST)}
IF_BETA = {"ghost_neurons": none_of(NO_GHOST, DYRELU)}  # which fades by α
IF_FADING = IF_NEURONS | {"ghost_skips": none_of(NO_GHOST)}
IF_GHOSTS = IF_FADING | {"ghost_branches": none_of(1)}
IF_ENDING = {"ghost_end_epoch": none_of(-1)}
CONSTANT = "constant"
IF_BETA_MOVES = IF_BETA | IF_ENDING | {"ghost_schedule": none_of(CONSTANT)}
IF_TEACHER = {"teacher": none_of("")}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The tweaks of "Training Your Sparse Neural Network Better with Any Mask", all off by default.

    The paper gives the tweaks and the epoch in which ghosts end, but neither the shape of the schedule, nor the final
    β, nor the label smoothing. Linear is the simplest schedule. At β = 20 PSwish differs from ReLU by at most 0.014
    (0.2785 / β), so the change to ReLU has almost no effect. Label smoothing 0.1, the constant initialisation of the
    skips and the settings of the rescaled initialisation are those of the authors' released code. On distillation the
    abstract says "soft labels instead of the hard labels"; Hinton et al. 2015 found "a considerably lower weight" on
    the hard labels best: hence w = 0.9, and T = 4, which is usual for images.
    """

    ghost_neurons: str = option(
        NO_GHOST,
        "neurons that replace ReLU until the ghosts end: soft ones, or dyrelu, whose slopes depend on the image",
        names=GHOST_NEURONS,
        also=(NO_GHOST,),
    )
    ghost_dead_channels: str = option(
        "soft",
        "what ghost neurons do with channels that do not vary over a batch of training images before the first step: "
        "soft as all others, or relu, so that they stay dead",
        names=("soft", "relu"),
        only_with=IF_NEURONS,
    )
    ghost_skips: str = option(
        NO_GHOST, "extra skip connections until the ghosts end", names=GHOST_SKIPS, also=(NO_GHOST,)
    )
    ghost_skip_initializer: str = option(
        "constant",
        "initialisation of projection skips: constant 1e-4 as in the authors' code, he_normal, or dirac (the identity)",
        names=("constant", "he_normal", "dirac"),
        only_with={"ghost_skips": none_of(NO_GHOST, "identity")},
    )
    ghost_skip_gate: str = option(
        "scaled",
        "how the share α of the skips is put to use: skips are scaled by it, as in the paper; are there with that "
        "probability (stochastic); or the scaled sum keeps its variance (variance_preserving)",
        names=GHOST_GATES,
        only_with={"ghost_skips": none_of(NO_GHOST)},
    )
    ghost_branches: int = option(
        1,
        "number of parallel kernels under the same mask, each with a BatchNormalization of its own, of each "
        "convolution or Dense layer that only a BatchNormalization reads; they are merged into one when the ghosts end "
        "(1: none)",
        minimum=1,
        maximum=16,
    )
    ghost_schedule: str = option(
        "linear",
        "how ghosts fade; delayed: from the middle of their time on; constant: they are removed abruptly",
        names=GHOST_SCHEDULES,
        only_with=IF_ENDING,
        only_with_one=IF_FADING,
    )
    ghost_end_epoch: int | None = option(
        None,
        "number of epochs with ghosts (by default until the first learning-rate drop); -1 keeps ghosts to the end",
        minimum=-1,
        only_with_one=IF_GHOSTS,
    )
    beta_start: float = option(1.0, "β of the ghost neurons at the start", minimum=0, only_with=IF_BETA)
    beta_end: float = option(20.0, "β of the ghost neurons when they become ReLU", above=0, only_with=IF_BETA_MOVES)
    beta_schedule: str = option(
        "linear",
        "in what β rises evenly (under a linear --ghost_schedule): in β itself, in 1/β (inverse), which is even in the "
        "distance to ReLU, or in log β (logarithmic)",
        names=BETA_SCHEDULES,
        only_with=IF_BETA_MOVES,
    )
    rescale_init: bool = option(
        False,
        "rescale the initial weights layer by layer (LRsI) before training; by default not the weights of a model "
        "file, which may be trained already",
    )
    rescale_steps: int = option(
        180, "number of iterations of --rescale_init", minimum=1, only_with={"rescale_init": one_of(True)}
    )
    label_smoothing: float = option(
        0.0,
        "the smoothing a of labels y(1-a) + a/K",
        minimum=0,
        below=1,
        only_with={"distill_weight": none_of(1)},
    )
    optimizer_tweak: str = option(
        NO_TWEAK,
        "a change to each step of the optimizer: ham multiplies weights after it, sparse_opt scales gradients by the "
        "density of their filters, s2_sam takes them a little up the gradient of the step before, sign_in trains kept "
        "weights as products of two factors (with --optimizer=sgd)",
        names=OPTIMIZER_TWEAKS,
        also=(NO_TWEAK,),
    )
    weight_average: float = option(
        0.0,
        "decay of an exponential average of the weights over the steps, such as 0.999; what is validated and exported "
        "then is the average (0: none)",
        minimum=0,
        below=1,
    )
    teacher: str = option(
        "",
        "also learn from the soft labels of this SavedModel or finished run (a KD ticket); train trains the same "
        "network without a mask first",
        only_with={"distill_weight": none_of(0)},
    )
    distill_weight: float = option(
        0.9, "weight w of the teacher in (1-w)·CE + w·T²·KL", minimum=0, maximum=1, only_with=IF_TEACHER
    )
    distill_temperature: float = option(4.0, "temperature T in (1-w)·CE + w·T²·KL", above=0, only_with=IF_TEACHER)

    @property
    def has_ghosts(self) -> bool:
        return self.fades_ghosts or self.has_branches

    @property
    def fades_ghosts(self) -> bool:
        """Whether there are ghosts besides branches, which the network changes without."""
        return self.ghost_neurons != NO_GHOST or self.ghost_skips != NO_GHOST

    @property
    def has_branches(self) -> bool:
        return self.ghost_branches > 1

    @property
    def last_ghost_epoch(self) -> int:
        """`ghost_end_epoch`, or any number if there are no ghosts."""
        return 1 if self.ghost_end_epoch is None else self.ghost_end_epoch

    @property
    def keeps_ghosts(self) -> bool:
        """Whether ghosts are never removed (Figure 6 of the paper); then they are exported too."""
        return self.has_ghosts and self.ghost_end_epoch == -1

    @property
    def moves_beta(self) -> bool:
        """Whether β goes from `beta_start` to `beta_end`; if not, it stays where it starts."""
        return not self.keeps_ghosts and self.ghost_schedule != CONSTANT

    @property
    def passing_ghost_epochs(self) -> int:
        """The number of epochs with ghosts, if these are removed afterwards, else 0."""
        return self.ghost_end_epoch if self.has_ghosts and not self.keeps_ghosts else 0


# The best that was found on CIFAR-10 at 98% in 40 epochs (docs/results.md). Images are flipped and not cropped, since
# so sparse a network cannot fit cropped images as well.
TOST_PLUS = {"schedule": "cosine", "weight_decay": 5e-4, "crop_padding": 0}

# Name -> the options it sets, of any kind; all other options keep their defaults.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "tost": {"ghost_neurons": "pswish", "ghost_skips": "projection", "rescale_init": True, "label_smoothing": 0.1},
    "tost_plus": TOST_PLUS,
    "tost_plus_kd": TOST_PLUS | {"distill_weight": 0.7, "distill_temperature": 4.0},
}

# Recipes that need an option which they cannot set -> that option.
NEEDED = {"tost_plus_kd": "teacher"}
