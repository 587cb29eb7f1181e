"""Checks of options that are valid alone but not together, and of names that have several sources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tost_tf.data.names import check_dataset
from tost_tf.errors import NoEffect, TostError, unknown_name
from tost_tf.experiment.mask_options import MaskConfig
from tost_tf.experiment.recipe import DYRELU, HAM, NEEDED, SIGN_IN, TRAIN_TEACHER
from tost_tf.masks.layer_sparsity import parsed_layer_sparsity
from tost_tf.masks.lottery import LotteryOptions
from tost_tf.masks.patterns.pattern import parsed_pattern
from tost_tf.models import MODEL_SUFFIXES
from tost_tf.models.applications import PREFIX, require_application
from tost_tf.ranges import require_expression
from tost_tf.registry import MODELS, OPTIMIZERS

if TYPE_CHECKING:
    from tost_tf.dynamic.options import SuperposeConfig
    from tost_tf.experiment.options import RunConfig


def check_together(config: RunConfig) -> None:
    """Raises `TostError` for options that are valid alone but not together."""
    _check_recipe(config)
    _check_teacher(config)
    _check_tweak(config)
    _check_model(config.model.model)
    check_dataset(config.data.dataset, config.data.data_dir, "--dataset")
    _check_mask(config.mask)
    _check_lottery(config.method_options(LotteryOptions))
    _check_schedule(config)
    _check_branches(config)
    _check_dynamic(config)
    _check_superpose(config)
    _check_compact_training(config)
    _check_run_dir(config.machine.run_dir)
    _check_precision(config)


def _check_recipe(config: RunConfig) -> None:
    needed = NEEDED.get(config.recipe_name)
    if needed and not config.options()[needed]:
        raise TostError(
            f"--recipe={config.recipe_name} needs --{needed}: give it, or use --recipe=tost_plus, which needs none"
        )


def _check_teacher(config: RunConfig) -> None:
    if config.recipe.teacher == TRAIN_TEACHER and config.machine.distribution == "multi_worker":
        raise TostError(
            f"--teacher={TRAIN_TEACHER} works in one process: with --distribution=multi_worker train the teacher in a "
            "run of its own, and name its folder by --teacher"
        )


def _check_tweak(config: RunConfig) -> None:
    if (config.recipe.optimizer_tweak, config.recipe.ghost_neurons) == (HAM, DYRELU):
        # Seen: slopes from large weights jump from image to image, and within 20 steps the loss is not finite.
        raise TostError(
            f"--optimizer_tweak={HAM} multiplies weights by up to e^5 in a step, which those of --ghost_neurons="
            f"{DYRELU} do not bear: leave one out"
        )
    if config.recipe.optimizer_tweak != SIGN_IN:
        return
    if not OPTIMIZERS[config.training.optimizer].trains_factors:
        raise TostError(
            f"--optimizer_tweak={SIGN_IN} trains two factors instead of each masked kernel, and --optimizer="
            f"{config.training.optimizer} trains only kernels: use --optimizer=sgd"
        )
    if config.mask.mask == "none":
        raise TostError(f"--optimizer_tweak={SIGN_IN} trains the kept weights of a mask, and --mask=none has none")


def _check_mask(mask: MaskConfig) -> None:
    if mask.mask == "none" and mask.file:
        flag = "mask_file" if mask.mask_file else "from_torch"
        raise TostError(f"--mask=none and --{flag}={mask.file} contradict each other: leave one out")
    if mask.mask == "none" and mask.sparsity not in (0, MaskConfig.sparsity):
        raise NoEffect(
            f"--sparsity={mask.sparsity:g} has no effect with --mask=none, which trains the dense network: leave it "
            "out, or choose a mask",
            "sparsity",
        )
    for flag in ("dense_layers", "new_layers"):
        require_expression(f"--{flag}", getattr(mask, flag))
    try:
        parsed_layer_sparsity(mask.layer_sparsity)
    except TostError as error:
        raise TostError(f"--layer_sparsity={mask.layer_sparsity}: {error}") from None
    sparsity = parsed_pattern(mask.mask_pattern).sparsity
    if mask.has_sparsity and sparsity is not None and abs(sparsity - mask.sparsity) > 1e-3:
        raise TostError(
            f"--mask_pattern={mask.mask_pattern} has sparsity {sparsity:g}, which --sparsity={mask.sparsity:g} "
            "contradicts: leave it out"
        )
    if mask.mask_shuffle and mask.mask == "lottery" and not mask.file:
        raise TostError(
            "--mask_shuffle would move the mask of --mask=lottery to weights the ticket has set to zero: find it "
            "with tost-mask, then train with its --mask_file and --mask_shuffle from the initialisation"
        )


def _check_lottery(options: LotteryOptions) -> None:
    if options.rewind_epoch >= options.lottery_epochs:
        raise TostError(
            f"--rewind_epoch={options.rewind_epoch} must be below --lottery_epochs={options.lottery_epochs}: "
            "a round trains from the first to the second"
        )


def _check_schedule(config: RunConfig) -> None:
    training, recipe = config.training, config.recipe
    late = [epoch for epoch in training.lr_drop_epochs or () if epoch >= training.epochs]
    if late:
        raise TostError(
            f"--lr_drop_epochs has {late[0]}, but the run ends after --epochs={training.epochs}: "
            "drop earlier, or leave the option out (the default is 1/2 and 3/4 of all epochs)"
        )
    if recipe.ghost_end_epoch == 0:
        raise TostError("--ghost_end_epoch is 0, it must be at least 1, or -1 to keep the ghosts")
    if recipe.has_ghosts and training.epochs == 1 and not recipe.keeps_ghosts:
        raise TostError("--epochs=1 leaves no epoch after the ghosts: train at least 2, or use --recipe=default")
    if recipe.has_ghosts and not recipe.keeps_ghosts and recipe.ghost_end_epoch >= training.epochs:
        raise TostError(
            f"--ghost_end_epoch={recipe.ghost_end_epoch} with --epochs={training.epochs} leaves no epoch without "
            "ghosts, so there would be nothing to export: end them earlier, or give -1 to keep (and export) them"
        )
    if recipe.moves_beta and recipe.beta_end < recipe.beta_start:
        raise TostError(f"--beta_end={recipe.beta_end:g} is below --beta_start={recipe.beta_start:g}: β must grow")
    if recipe.beta_schedule != "linear" and not recipe.beta_start:
        raise TostError(f"--beta_schedule={recipe.beta_schedule} needs --beta_start above 0, or take linear")


def _check_branches(config: RunConfig) -> None:
    recipe = config.recipe
    if not recipe.has_branches:
        return
    if recipe.keeps_ghosts:
        raise TostError(
            f"--ghost_branches={recipe.ghost_branches} are merged when the ghosts end, and --ghost_end_epoch=-1 keeps "
            "them: give the number of epochs with ghosts"
        )
    if config.dynamic.is_on:
        raise TostError(
            f"--dynamic={config.dynamic.dynamic} changes a mask that all of --ghost_branches={recipe.ghost_branches} "
            "share, and a weight that grows cannot start in them as in one kernel: leave one out"
        )


def _check_dynamic(config: RunConfig) -> None:
    dynamic, mask = config.dynamic, config.mask
    if not dynamic.is_on:
        return
    if mask.mask == "none":
        raise TostError(f"--dynamic={dynamic.dynamic} changes a mask, and --mask=none has none: take erk or random")
    if not mask.sparsity and mask.has_sparsity:
        raise TostError(f"--sparsity=0 leaves --dynamic={dynamic.dynamic} no place where a weight could grow")
    _check_growth(mask.mask_pattern, f"--dynamic={dynamic.dynamic}")
    if not dynamic.prunes:
        return
    if mask.layer_sparsity:
        raise TostError(
            f"--dynamic={dynamic.dynamic} prunes all layers together, which would not keep --layer_sparsity: leave one "
            "out"
        )
    if dynamic.initial_sparsity > mask.sparsity:
        raise TostError(
            f"--initial_sparsity={dynamic.initial_sparsity:g} is above --sparsity={mask.sparsity:g}: "
            f"{dynamic.dynamic} prunes from the first to the second"
        )
    if not mask.has_sparsity or mask.mask == "lottery":
        raise TostError(
            f"--dynamic={dynamic.dynamic} starts from a mask it finds at --initial_sparsity: leave out its file, "
            "and use --mask=erk or another one instead of lottery or zeros"
        )


def _check_growth(pattern: str, flag: str) -> None:
    reason = parsed_pattern(pattern).cannot_grow
    if reason:
        raise TostError(f"--mask_pattern={pattern} is for masks that stay, and {flag} changes them: {reason}")


def _check_superpose(config: RunConfig) -> None:
    superpose, recipe, epochs = config.superpose, config.recipe, config.training.epochs
    if not superpose.is_on:
        return
    if config.mask.mask == "none":
        raise TostError(f"--superpose={superpose.superpose} prunes back to a mask's density, and --mask=none has none")
    if config.mask.layer_sparsity:
        raise TostError(
            f"--superpose={superpose.superpose} prunes all layers together at its end, which would not keep "
            "--layer_sparsity: leave one out"
        )
    if config.cycle_growth is not None:
        _check_growth(config.mask.mask_pattern, f"--cycle_growth={superpose.cycle_growth}")
    if recipe.weight_average:
        raise TostError(
            f"--superpose={superpose.superpose} averages networks itself: leave out --weight_average="
            f"{recipe.weight_average:g}"
        )
    _check_cycles(superpose)
    ordinary = superpose.ordinary_epochs(epochs)
    if ordinary < 1:
        raise TostError(f"--cycle_fraction={superpose.cycle_fraction:g} leaves no epoch before the cycles")
    if recipe.keeps_ghosts or (recipe.has_ghosts and recipe.passing_ghost_epochs >= ordinary):
        raise TostError(
            f"--superpose={superpose.superpose} averages networks trained without ghosts, and its cycles begin after "
            f"epoch {ordinary}: --ghost_end_epoch={recipe.ghost_end_epoch} must be below that"
        )
    late = [epoch for epoch in config.training.lr_drop_epochs or () if epoch >= ordinary]
    if late:
        raise TostError(
            f"--lr_drop_epochs has {late[0]}, but from epoch {ordinary} on the cycles of --superpose set the learning "
            "rate: drop earlier"
        )


def _check_compact_training(config: RunConfig) -> None:
    if not config.machine.compact_training:
        return
    dynamic, superpose = config.dynamic, config.superpose
    if dynamic.is_on:
        raise TostError(
            f"--compact_training leaves out channels that are dead, and --dynamic={dynamic.dynamic} changes the mask, "
            "so that they may come alive: leave one out"
        )
    if config.cycle_growth is not None and superpose.cycles(config.training.epochs):
        raise TostError(
            f"--compact_training leaves out channels that are dead, and in the cycles of --superpose="
            f"{superpose.superpose} weights grow, so that they may come alive: leave one out, or give "
            "--cycle_growth=none"
        )


def _check_cycles(superpose: SuperposeConfig) -> None:
    low, high = superpose.cycle_low_learning_rate, superpose.cycle_high_learning_rate
    if low > high:
        raise TostError(
            f"--cycle_low_learning_rate={low:g} is above --cycle_high_learning_rate={high:g}: a cycle rises from the "
            "first to the second"
        )


def _check_run_dir(run_dir: str) -> None:
    pattern = re.search(r"[*?\\[\\\\]", run_dir)
    if pattern:
        raise TostError(
            f"--run_dir={run_dir} contains {pattern[0]!r}, so TensorFlow would not find the checkpoints in it: choose "
            "another name"
        )


def _check_precision(config: RunConfig) -> None:
    precision, record = config.machine.mixed_precision, config.record
    if precision == "float16" and config.machine.distribution == "tpu":
        raise TostError("--mixed_precision=float16 is not for a TPU: use bfloat16")
    if precision != "none" and record.hessian_every:
        raise TostError(
            f"--hessian_every with --mixed_precision={precision} would measure the curvature of rounding errors: leave "
            "one out, or measure afterwards with tost-analyze, which computes in float32"
        )
    if precision == "float16" and record.gradient_flow_every:
        raise TostError(
            "--gradient_flow_every with --mixed_precision=float16 would measure gradients without loss scaling: "
            "leave one out, or use bfloat16"
        )


def _check_model(model: str) -> None:
    if model.endswith(MODEL_SUFFIXES):
        if not Path(model).is_file():
            raise TostError(f"--model={model} is not a file")
    elif model.startswith(PREFIX):
        require_application(model)
    elif model not in MODELS:
        raise unknown_name("--model", model, (*MODELS, f"{PREFIX}NAME"))
