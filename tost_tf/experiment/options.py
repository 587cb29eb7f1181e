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
from tost_tf.experiment.mask_options import IF_FOUND, NO_MASK, MaskConfig
from tost_tf.experiment.model_options import ModelConfig, is_file
from tost_tf.experiment.recipe import RECIPES, Recipe
from tost_tf.experiment.training_options import STEP_SCHEDULE, TrainingConfig
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, parsed_pattern
from tost_tf.models import MODEL_SUFFIXES
from tost_tf.options import check_effects, check_values, one_of
from tost_tf.registry import GROWTHS, MASKS, OPTIMIZERS
from tost_tf.training.learning_rate import default_drops

if TYPE_CHECKING:
    from tost_tf.dynamic.growth import Growth


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All options of a run, complete and checked.

    Created by `RunConfig.make`, whose arguments are the flags of `tost-train`.

    Attributes:
      recipe_name: the name that `recipe` was given.
      data, model, mask, recipe, training, dynamic, superpose, record, machine: the options, in groups.
      methods: the options of the methods that find masks, a dataclass of each.

    Raises:
      TostError: by `make`: an option is unknown, a value is of another type or not allowed, or two contradict each
        other.

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
        config = cls.recorded(options)
        check_together(config)
        return config

    @classmethod
    def recorded(cls, options: Mapping[str, Any]) -> RunConfig:
        """As `make`, for a run that there is already: the data and files that it names may be gone since.

        Raises:
          TostError: an option is unknown, has no effect, or a name or value is not allowed.
        """
        known = {field.name for group in all_groups().values() for field in dataclasses.fields(group)} | {"recipe"}
        for name in options:
            if name not in known:
                raise unknown_name("option", name, known)
        recipe_name = options.get("recipe", "tost")
        if recipe_name not in RECIPES:
            raise unknown_name("--recipe", recipe_name, RECIPES)
        options = set_by_model(options.get("model", "")) | set_by_pattern(options) | dict(options)
        groups = {}
        for group_name, group in all_groups().items():
            given = {f.name: options[f.name] for f in dataclasses.fields(group) if f.name in options}
            given = {name: _as_in_flags(value) for name, value in given.items()}
            groups[group_name] = dataclasses.replace(_of_recipe(group, recipe_name), **given)
            check_values(groups[group_name], "--")
        methods = tuple(groups.pop(name) for name in list(groups) if name not in GROUPS)
        config = cls(recipe_name=recipe_name, methods=methods, **groups)
        config = dataclasses.replace(config, data=_augmented_or_not(config.data))
        _check_effects(config)
        return _completed(config)

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
        named |= (SET_BY_RECIPES | {"optimizer"}) - {"weight_decay"}  # tuned with the learning rate, and named by none
        base = {name: value for name, value in recipe_defaults(self.recipe_name).items() if name in named}
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
        return bool(self.mask.initial_weights) or is_file(self.model.model)

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


def _augmented_or_not(data: DataConfig) -> DataConfig:
    if data.augment is not None:
        return data
    return dataclasses.replace(data, augment=base_name(data.dataset) not in NOT_AUGMENTED)


def _completed(config: RunConfig) -> RunConfig:
    """Fills in the defaults that depend on other options."""
    data, mask, training, recipe, machine = config.data, config.mask, config.training, config.recipe, config.machine
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
        training = dataclasses.replace(training, lr_drop_epochs=_drops(training, config.superpose))
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
    return dataclasses.replace(config, mask=mask, training=training, recipe=recipe, machine=machine)


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


def defaults_by_others(config: RunConfig) -> dict[str, Any]:
    """Options by name whose defaults depend on other options, with these defaults."""
    training = config.training
    return {
        "learning_rate": default_rate(training),
        "lr_drop_epochs": _drops(training, config.superpose),
        "ghost_end_epoch": _ghost_end(training, config.superpose),
    }


def _drops(training: TrainingConfig, superpose: SuperposeConfig) -> tuple[int, ...]:
    # The released code of Sup-tickets drops at 1/2 and 3/4 of the epochs before its cycles.
    return default_drops(superpose.ordinary_epochs(training.epochs))


def _ghost_end(training: TrainingConfig, superpose: SuperposeConfig) -> int:
    """The default end of ghosts: the first drop of the learning rate, or half of the epochs if it never drops."""
    return min(training.lr_drop_epochs or (), default=max(1, superpose.ordinary_epochs(training.epochs) // 2))


def _as_in_flags(value: Any) -> Any:
    """A value as the command line gives it: no lists, paths and dictionaries, but tuples and texts."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, Mapping):
        return ",".join(f"{name}={part}" for name, part in value.items())
    return os.fspath(value) if isinstance(value, os.PathLike) else value
