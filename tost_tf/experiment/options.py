"""The options of a complete run as frozen dataclasses, the only place where defaults are written."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tost_tf.data.augment import NOT_AUGMENTED
from tost_tf.data.base_name import base_name
from tost_tf.data.options import DataConfig
from tost_tf.dynamic.options import DynamicConfig, SuperposeConfig
from tost_tf.errors import TostError, unknown_name
from tost_tf.experiment.checks import check_together
from tost_tf.experiment.machine import MachineConfig, RecordConfig
from tost_tf.experiment.recipe import RECIPES, Recipe
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, parsed_pattern
from tost_tf.models import MODEL_SUFFIXES
from tost_tf.options import Condition, check_effects, check_values, none_of, one_of, option
from tost_tf.registry import GROWTHS, MASKS, MODELS, OPTIMIZERS, RATE_SCHEDULES
from tost_tf.training.learning_rate import default_drops

if TYPE_CHECKING:
    from tost_tf.dynamic.growth import Growth


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network."""

    model: str = option(
        "resnet32",
        f"the network: {', '.join(MODELS)}; applications/NAME for one of keras.applications; or your .keras or .h5 "
        "file, trained from the weights in it",
    )
    width_multiplier: float = option(1.0, "factor of the number of channels", above=0, maximum=100)


NO_MASK = "none"
IF_FOUND = {"mask_file": one_of(""), "from_torch": one_of("")}


def _takes_sparsity(mask_file: str) -> bool:
    return not mask_file or "{sparsity}" in mask_file


def _has_scope(mask: str) -> bool:
    return mask in MASKS and MASKS[mask].has_scope


def _has_sparsity(mask: str) -> bool:
    return mask not in MASKS or MASKS[mask].has_sparsity


def _has_layer_sparsity(mask: str) -> bool:
    return mask in MASKS and MASKS[mask].has_layer_sparsity


def _pattern_has_scope(pattern: str) -> bool:
    return parsed_pattern(pattern).has_scope


def _pattern_has_layers(pattern: str) -> bool:
    return parsed_pattern(pattern).has_layer_sparsity


def _is_file(model: str) -> bool:
    return model.endswith(MODEL_SUFFIXES)


@dataclasses.dataclass(frozen=True)
class MaskConfig:
    """Which weights stay."""

    mask: str = option("random", "how the mask is found", names=MASKS, also=(NO_MASK,))
    mask_file: str = option(
        "", "read the mask from this .npz file instead of finding one; {sparsity} in its name stands for the percentage"
    )
    from_torch: str = option(
        "",
        "import the mask from this PyTorch state dict (.safetensors or .npz): its masks, or the zeros of its weights",
        only_with={"mask_file": one_of("")},
    )
    name_map: str = option(
        "",
        "JSON file: name in PyTorch -> weight path here, if names, order and shape are not enough",
        only_with_one={"from_torch": none_of(""), "initial_weights": none_of("")},
    )
    sparsity: float = option(
        0.95,
        "fraction of the weights that are zero; with --mask_file the file sets it, and this only fills in its name",
        minimum=0,
        below=1,
        only_with={
            "mask_file": Condition(_takes_sparsity, "'' or a name with {sparsity} in it"),
            "mask": Condition(_has_sparsity, "(one that is found at a sparsity)"),
            "from_torch": one_of(""),
        },
    )
    layer_sparsity: str = option(
        "",
        "sparsities of some layers, such as stage3.*=0.99,stem=0: regular expressions of layer names, the first that "
        "matches is used; the others get what is left, so that all together have --sparsity",
        only_with={
            "mask": Condition(_has_layer_sparsity, "(one that ranks weights once)"),
            "mask_pattern": Condition(_pattern_has_layers, "(one that leaves layers their sparsities)"),
            **IF_FOUND,
        },
    )
    mask_scope: str = option(
        "global",
        "rank all weights together (global) or each kernel alone (layer); erk sets a density for each layer itself",
        names=("global", "layer"),
        only_with={
            "mask": Condition(_has_scope, "(one that ranks weights)"),
            "mask_pattern": Condition(_pattern_has_scope, "(one that leaves layers their sparsities)"),
            **IF_FOUND,
        },
    )
    mask_pattern: str = option(
        UNSTRUCTURED,
        "which weights are kept or removed together: unstructured, channels (whole filters with what reads them), "
        "block:AxB (of A input and B output channels), N:M (N of M consecutive input channels stay, such as 2:4, which "
        "sets --sparsity), fan_in (as many weights for each filter of a layer); a mask that is given must have it",
        only_with={"mask": none_of(NO_MASK)},
    )
    dense_layers: str = option("", "regular expression of the names of layers that are left dense")
    mask_shuffle: bool = option(
        False,
        "shuffle the mask within each layer, a sanity check",
        only_with={"mask": none_of(NO_MASK), "mask_pattern": one_of(UNSTRUCTURED)},
    )
    initial_weights: str = option(
        "",
        "start from the weights in this .npz file, such as those of a lottery ticket, or in a PyTorch state dict "
        "(.safetensors or .npz); {sparsity} as in --mask_file",
    )
    new_layers: str = option(
        "",
        "regular expression of the names of layers that are not read from these files but initialised, and not pruned; "
        "everything else must match",
        only_with_one={"mask_file": none_of(""), "from_torch": none_of(""), "initial_weights": none_of("")},
    )
    keep_zeros: bool = option(
        True,
        "weights that are zero in the file of --model or --initial_weights count as pruned in the search for a mask",
        only_with={"mask": none_of(NO_MASK, "zeros"), **IF_FOUND},
        only_with_one={"initial_weights": none_of(""), "model": Condition(_is_file, "FILE.keras or FILE.h5")},
    )

    @property
    def has_sparsity(self) -> bool:
        """Whether `sparsity` is the requested one; if not, a file or the zeros of weights determine it."""
        return not self.file and _has_sparsity(self.mask)

    @property
    def found_label(self) -> str:
        """The method of a mask that is searched for, with the pattern if it has one."""
        return self.mask if self.mask_pattern == UNSTRUCTURED else f"{self.mask} {self.mask_pattern}"

    @property
    def file(self) -> str:
        """The file of the mask, "" for a mask that is searched for."""
        return self.mask_file or self.from_torch


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
    lr_drop_factor: float = option(0.1, "factor of the learning rate at a drop", above=0, maximum=1, only_with=IF_STEP)
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


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All options of a run, complete and checked. Created by `RunConfig.make`.

    Examples:
      >>> config = tost.RunConfig.make(dataset="digits", model="resnet8", mask="snip", sparsity=0.95)
      >>> config.recipe_label, config.training.learning_rate
      ('tost', 0.1)
    """

    data: DataConfig
    model: ModelConfig
    mask: MaskConfig
    recipe_name: str
    recipe: Recipe
    training: TrainingConfig
    dynamic: DynamicConfig
    superpose: SuperposeConfig
    record: RecordConfig
    machine: MachineConfig
    methods: tuple[Any, ...]  # options of the methods that find masks

    @classmethod
    def make(cls, **options: Any) -> RunConfig:
        """A run from options by name (as on the command line); options not given get their defaults.

        Raises:
          TostError: an option is unknown, a name or value is not allowed, or two options contradict each other.
        """
        known = {field.name for group in all_groups().values() for field in dataclasses.fields(group)} | {"recipe"}
        for name in options:
            if name not in known:
                raise unknown_name("option", name, known)
        recipe_name = options.get("recipe", "tost")
        if recipe_name not in RECIPES:
            raise unknown_name("--recipe", recipe_name, RECIPES)
        options = set_by_model(options.get("model", "")) | set_by_pattern(options) | options
        groups = {}
        for group_name, group in all_groups().items():
            given = {f.name: options[f.name] for f in dataclasses.fields(group) if f.name in options}
            given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
            groups[group_name] = dataclasses.replace(_of_recipe(group, recipe_name), **given)
            check_values(groups[group_name], "--")
        methods = tuple(groups.pop(name) for name in list(groups) if name not in GROUPS)
        config = cls(recipe_name=recipe_name, methods=methods, **groups)
        _check_effects(config)
        config = _completed(config)
        check_together(config)
        return config

    def method_options(self, kind: type | None) -> Any:
        """The instance of a method's dataclass of options; `None` for a method that has none."""
        return next((group for group in self.methods if type(group) is kind), None)

    @property
    def recipe_label(self) -> str:
        """The recipe's name, and the options that differ from it: "default", "tost", "default ghost_skips=identity".

        Options of dynamic masks, superposed tickets, optimizer and schedule are included: "tost dynamic=rigl",
        "default optimizer=orthogonal schedule=cosine".
        """
        current = self.options()
        named = {
            field.name for group in (Recipe, DynamicConfig, SuperposeConfig) for field in dataclasses.fields(group)
        }
        base = {
            name: value for name, value in recipe_defaults(self.recipe_name).items() if name in named | SET_BY_RECIPES
        }
        # By default it depends on the learning rate's schedule; without ghosts it has no meaning.
        base["ghost_end_epoch"] = (
            _ghost_end(self.training, self.superpose) if current["ghost_end_epoch"] != -1 else None
        )
        if not self.recipe.has_ghosts:
            current["ghost_end_epoch"] = base["ghost_end_epoch"]
        changed = [f"{name}={current[name]}" for name in base if current[name] != base[name]]
        return " ".join([self.recipe_name, *changed])

    @property
    def mask_label(self) -> str:
        """Where the mask comes from: the name of a method, with the pattern if there is one ("snip 2:4"), or a file."""
        return self.mask.file or self.mask.found_label

    @property
    def brings_weights(self) -> bool:
        """Whether the network starts from weights in a file."""
        return bool(self.mask.initial_weights) or _is_file(self.model.model)

    @property
    def cycle_growth(self) -> Growth | None:
        """How weights grow at the start of a cycle, `None` if the masks stay fixed."""
        name = self.superpose.cycle_growth
        if not self.superpose.is_on or name == "none":
            return None
        if name == "auto" and self.dynamic.is_on:
            return self.dynamic.method.growth
        return GROWTHS["gradient" if name == "auto" else name]

    @property
    def keeps_gradients(self) -> bool:
        """Whether weights grow by the gradient of a step, which the optimizer must then keep."""
        if self.dynamic.is_on and self.dynamic.method.growth.needs_gradient:
            return True
        growth = self.cycle_growth
        return self.superpose.cycles(self.training.epochs) > 0 and growth is not None and growth.needs_gradient

    def options(self) -> dict[str, Any]:
        """All options by name, as `RunConfig.make` takes them."""
        flat = {"recipe": self.recipe_name}
        for group in (*(getattr(self, name) for name in GROUPS), *self.methods):
            flat |= dataclasses.asdict(group)
        return flat


GROUPS = {
    "data": DataConfig,
    "model": ModelConfig,
    "mask": MaskConfig,
    "recipe": Recipe,
    "training": TrainingConfig,
    "dynamic": DynamicConfig,
    "superpose": SuperposeConfig,
    "record": RecordConfig,
    "machine": MachineConfig,
}


def all_groups() -> dict[str, type]:
    """The dataclasses of all options by name: those in `GROUPS`, and those of the methods that find masks."""
    kinds = {MASKS[name].options for name in MASKS} - {None}
    return GROUPS | {kind.__name__: kind for kind in sorted(kinds, key=lambda kind: kind.__name__)}


# All options that at least one recipe sets.
SET_BY_RECIPES = frozenset(name for recipe in RECIPES.values() for name in recipe)


def _of_recipe(group: type, recipe_name: str) -> Any:
    """An instance of a dataclass of options, with the values of a recipe."""
    recipe = RECIPES[recipe_name]
    return group(**{field.name: recipe[field.name] for field in dataclasses.fields(group) if field.name in recipe})


def recipe_defaults(recipe_name: str) -> dict[str, Any]:
    """All options by name with the values of a recipe; defaults that depend on other options are not filled in."""
    groups = [_of_recipe(group, recipe_name) for group in all_groups().values()]
    return {name: value for group in groups for name, value in dataclasses.asdict(group).items()}


def _check_effects(config: RunConfig) -> None:
    """Raises `TostError` for an option that has no effect with the others."""
    values, defaults = config.options(), recipe_defaults(config.recipe_name)
    for group in all_groups().values():
        methods = tuple(name for name in MASKS if MASKS[name].options is group)
        needs = {"mask": one_of(*methods), **IF_FOUND} if methods else {}
        check_effects(dataclasses.fields(group), values, defaults, needs)


def _completed(config: RunConfig) -> RunConfig:
    """Fills in the defaults that depend on other options."""
    data, mask, training, recipe, machine = config.data, config.mask, config.training, config.recipe, config.machine
    if data.augment is None:
        data = dataclasses.replace(data, augment=base_name(data.dataset) not in NOT_AUGMENTED)
    if config.model.model.endswith(MODEL_SUFFIXES):
        model = dataclasses.replace(config.model, model=os.path.expanduser(config.model.model))
        config = dataclasses.replace(config, model=model)
    mask = dataclasses.replace(
        mask,
        mask_file=_filled_in(mask.mask_file, mask.sparsity),
        from_torch=os.path.expanduser(mask.from_torch),
        initial_weights=_filled_in(mask.initial_weights, mask.sparsity),
        sparsity=mask.sparsity if mask.has_sparsity else MaskConfig.sparsity,  # else the file or the zeros determine it
    )
    machine = dataclasses.replace(machine, run_dir=os.path.expanduser(machine.run_dir))
    recipe = dataclasses.replace(recipe, teacher=os.path.expanduser(recipe.teacher))
    if training.learning_rate is None:
        training = dataclasses.replace(training, learning_rate=default_rate(training))
    if training.lr_drop_epochs is None and training.schedule == STEP_SCHEDULE:
        # The released code of Sup-tickets drops at 1/2 and 3/4 of the epochs before its cycles.
        drops = default_drops(config.superpose.ordinary_epochs(training.epochs))
        training = dataclasses.replace(training, lr_drop_epochs=drops)
    if recipe.ghost_end_epoch is None and recipe.has_ghosts:
        recipe = dataclasses.replace(recipe, ghost_end_epoch=_ghost_end(training, config.superpose))
    if not machine.run_dir:
        found = f"{mask.mask}{100 * mask.sparsity:g}" if mask.mask != NO_MASK and mask.has_sparsity else mask.mask
        if mask.mask_pattern != UNSTRUCTURED:
            found += f"_{mask.mask_pattern}"
        mask_name = Path(mask.file).stem if mask.file else found
        completed = dataclasses.replace(config, training=training, recipe=recipe)
        parts = (Path(config.model.model).stem, data.dataset, mask_name, completed.recipe_label, f"seed{training.seed}")
        name = "_".join(re.sub(r"[^\w.=-]+", "_", part) for part in parts)
        machine = dataclasses.replace(machine, run_dir=f"runs/{name}")
    return dataclasses.replace(config, data=data, mask=mask, training=training, recipe=recipe, machine=machine)


def set_by_model(model: str) -> dict[str, Any]:
    """Options by name whose default with this network differs from the recipe.

    The weights in a model file may be trained already, so they are not rescaled.
    """
    return {"rescale_init": False} if str(model).endswith(MODEL_SUFFIXES) else {}


def set_by_pattern(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name that the pattern of a mask sets which is searched for: N:M has a sparsity.

    Raises:
      TostError: there is no such pattern.
    """
    try:
        sparsity = parsed_pattern(options.get("mask_pattern", UNSTRUCTURED)).sparsity
    except TostError as error:
        raise TostError(f"--mask_pattern={options['mask_pattern']}: {error}") from None
    given = {name: options[name] for name in ("mask", "mask_file", "from_torch") if name in options}
    return {} if sparsity is None or not MaskConfig(**given).has_sparsity else {"sparsity": sparsity}


def default_rate(training: TrainingConfig) -> float:
    """The default learning rate of the optimizer."""
    return OPTIMIZERS[training.optimizer].learning_rate


def _filled_in(path: str, sparsity: float) -> str:
    """The path with ~ replaced by the user's folder and {sparsity} by the percentage, 98 or 97.5."""
    return os.path.expanduser(path).replace("{sparsity}", f"{100 * sparsity:g}")


def _ghost_end(training: TrainingConfig, superpose: SuperposeConfig) -> int:
    """The default end of ghosts: the first drop of the learning rate, or half of the epochs if it never drops."""
    return min(training.lr_drop_epochs or (), default=max(1, superpose.ordinary_epochs(training.epochs) // 2))
