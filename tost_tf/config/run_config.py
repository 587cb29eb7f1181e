"""A whole run as frozen dataclasses: the only place defaults are written."""

import dataclasses
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tost_tf.config.checks import check_together
from tost_tf.config.dynamic import DynamicConfig, SuperposeConfig
from tost_tf.config.learning_rate import default_drops
from tost_tf.config.machine import MachineConfig, RecordConfig
from tost_tf.config.names import (
    CHARACTER_DATASETS,
    GROWTHS,
    MASKS,
    MODEL_SUFFIXES,
    MODELS,
)
from tost_tf.config.options import check_options, option
from tost_tf.config.recipe import RECIPES, Recipe
from tost_tf.errors import unknown_name

if TYPE_CHECKING:
    from tost_tf.dynamic.growth import Growth

DEFAULT_DATA_DIR = "~/tensorflow_datasets"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are split and augmented."""

    dataset: str = option(
        "cifar10", "digits, tiny_imagenet, or any image-classification dataset of tensorflow-datasets"
    )
    data_dir: str = option(DEFAULT_DATA_DIR, "where datasets are kept")
    train_examples: int = option(0, "use only that many training images; 0 means all", minimum=0)
    validation_fraction: float = option(0.1, "share of the training images kept for validation", above=0, below=1)
    augment: bool | None = option(
        None, "pad by 4, crop and flip at random (by default yes, but for images of characters)"
    )
    image_size: int = option(0, "resize images to this many pixels a side; 0 leaves them as they are", minimum=0)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network."""

    model: str = option(
        "resnet32",
        f"the network: {', '.join(MODELS)}; applications/NAME for one of keras.applications; or a .keras or .h5 "
        "file of your own, trained from the weights in it",
    )
    width_multiplier: float = option(1.0, "factor on the number of channels", above=0, maximum=100)


@dataclasses.dataclass(frozen=True)
class MaskConfig:
    """Which weights stay."""

    mask: str = option("random", "how the mask is found", names=MASKS, also=("none",))
    mask_file: str = option(
        "", "read the mask from this .npz file instead of finding one; {sparsity} in its name stands for the percentage"
    )
    sparsity: float = option(
        0.95,
        "fraction of the weights that are zero; with --mask_file the file decides, and this only fills in its name",
        minimum=0,
        below=1,
    )
    mask_scope: str = option(
        "global",
        "rank all weights together (global) or each kernel alone (layer); erk has a density of its own a layer",
        names=("global", "layer"),
    )
    dense_layers: str = option("", "regular expression of the names of layers that are left dense")
    mask_shuffle: bool = option(False, "shuffle each layer's mask in place: the sanity check of a mask")
    mask_examples_per_class: int = option(10, "training images of each class that snip and grasp look at", minimum=1)
    synflow_iterations: int = option(100, "steps in which synflow prunes", minimum=1)
    lottery_epochs: int = option(180, "epochs of training in each round of a lottery ticket", minimum=1)
    lottery_fraction: float = option(
        0.2, "share of the remaining weights pruned after each round of a lottery ticket", above=0, below=1
    )
    rewind_epoch: int = option(
        0, "epoch whose weights a lottery ticket goes back to; 0 is the initialisation", minimum=0
    )
    lottery_mode: str = option(
        "rewind",
        "after a round go back to earlier weights (rewind), or keep the trained ones and go back to the start of the "
        "learning-rate schedule only (lr_rewind)",
        names=("rewind", "lr_rewind"),
    )
    initial_weights: str = option(
        "",
        "start from the weights in this .npz file, such as those beside a lottery ticket; {sparsity} as in --mask_file",
    )


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The training loop. The defaults are the paper's, Section 3.1."""

    epochs: int = option(180, "passes over the training images", minimum=1, maximum=10**6)
    batch_size: int = option(128, "images a step, over all devices together", minimum=1, maximum=10**6)
    learning_rate: float = option(0.1, "learning rate at the start", above=0)
    lr_drop_epochs: tuple[int, ...] | None = option(
        None, "epochs at which the learning rate drops (by default at 1/2 and 3/4 of all)", minimum=1
    )
    lr_drop_factor: float = option(0.1, "what the learning rate is multiplied by at a drop", above=0, maximum=1)
    momentum: float = option(0.9, "momentum of SGD", minimum=0, below=1)
    weight_decay: float = option(2e-4, "L2 penalty added to the gradient of every trainable weight", minimum=0)
    seed: int = option(0, "seed of everything random in the run", minimum=0, maximum=2**31 - 1)
    deterministic: bool = option(False, "the same weights to the last bit at every launch, at some cost in speed")
    resume: bool = option(True, "go on with the run found in --run_dir; --noresume refuses to")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run, complete and checked. Made by `RunConfig.make`."""

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

    @classmethod
    def make(cls, **options: Any) -> "RunConfig":
        """A run from options by name (those of the command line); what is not given takes its default.

        Raises:
          TostError: an option is unknown, a name or value is not allowed, or two options contradict each other.
        """
        known = {field.name for group in GROUPS.values() for field in dataclasses.fields(group)} | {"recipe"}
        for name in options:
            if name not in known:
                raise unknown_name("option", name, known)
        recipe_name = options.get("recipe", "tost")
        if recipe_name not in RECIPES:
            raise unknown_name("--recipe", recipe_name, RECIPES)
        groups = {}
        for group_name, group in GROUPS.items():
            given = {f.name: options[f.name] for f in dataclasses.fields(group) if f.name in options}
            given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
            base = RECIPES[recipe_name] if group is Recipe else group()
            groups[group_name] = dataclasses.replace(base, **given)
            check_options(groups[group_name])
        config = _completed(cls(recipe_name=recipe_name, **groups))
        check_together(config)
        return config

    @property
    def recipe_label(self) -> str:
        """The recipe's name, and what was set otherwise: "default", "tost", "default ghost_skips=identity".

        How the mask changes and tickets are superposed is told too: "tost dynamic=rigl superpose=caa".
        """
        base = dataclasses.asdict(RECIPES[self.recipe_name])
        own = dataclasses.asdict(self.recipe)
        # By default an epoch of the learning rate's schedule; without ghosts it means nothing.
        base["ghost_end_epoch"] = _ghost_end(self.training, self.superpose) if own["ghost_end_epoch"] != -1 else None
        if not self.recipe.has_ghosts:
            own["ghost_end_epoch"] = base["ghost_end_epoch"]
        base |= dataclasses.asdict(DynamicConfig()) | dataclasses.asdict(SuperposeConfig())
        own |= dataclasses.asdict(self.dynamic) | dataclasses.asdict(self.superpose)
        changed = [f"{name}={value}" for name, value in own.items() if value != base[name]]
        return " ".join([self.recipe_name, *changed])

    @property
    def cycle_growth(self) -> "Growth | None":
        """How weights grow where a cycle starts, `None` if the masks stay."""
        name = self.superpose.cycle_growth
        if not self.superpose.is_on or name == "none":
            return None
        if name == "auto" and self.dynamic.is_on:
            return self.dynamic.method.growth
        return GROWTHS["gradient" if name == "auto" else name]

    @property
    def keeps_gradients(self) -> bool:
        """Whether weights grow by the gradient of a step, so that the optimizer has to keep it."""
        if self.dynamic.is_on and self.dynamic.method.needs_gradient:
            return True
        return self.superpose.cycles(self.training.epochs) > 0 and self.cycle_growth is GROWTHS["gradient"]

    def options(self) -> dict[str, Any]:
        """All options by name, as `RunConfig.make` takes them."""
        flat = {"recipe": self.recipe_name}
        for name in GROUPS:
            flat |= dataclasses.asdict(getattr(self, name))
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


def _completed(config: RunConfig) -> RunConfig:
    """Fills in the defaults that depend on other options."""
    data, mask, training, recipe, machine = config.data, config.mask, config.training, config.recipe, config.machine
    if data.augment is None:
        data = dataclasses.replace(data, augment=data.dataset not in CHARACTER_DATASETS)
    if config.model.model.endswith(MODEL_SUFFIXES):
        model = dataclasses.replace(config.model, model=os.path.expanduser(config.model.model))
        config = dataclasses.replace(config, model=model)
    mask = dataclasses.replace(
        mask,
        mask_file=_filled_in(mask.mask_file, mask.sparsity),
        initial_weights=_filled_in(mask.initial_weights, mask.sparsity),
    )
    machine = dataclasses.replace(machine, run_dir=os.path.expanduser(machine.run_dir))
    recipe = dataclasses.replace(recipe, teacher=os.path.expanduser(recipe.teacher))
    if mask.mask == "none":
        mask = dataclasses.replace(mask, sparsity=0.0)
    if training.lr_drop_epochs is None:
        # The released code of Sup-tickets drops at 1/2 and 3/4 of the epochs before its cycles.
        drops = default_drops(config.superpose.ordinary_epochs(training.epochs))
        training = dataclasses.replace(training, lr_drop_epochs=drops)
    if recipe.ghost_end_epoch is None:
        recipe = dataclasses.replace(recipe, ghost_end_epoch=_ghost_end(training, config.superpose))
    if not machine.run_dir:
        mask_name = Path(mask.mask_file).stem if mask.mask_file else f"{mask.mask}{100 * mask.sparsity:g}"
        completed = dataclasses.replace(config, training=training, recipe=recipe)
        label = re.sub(r"[^\w.=-]+", "_", completed.recipe_label)
        name = f"{Path(config.model.model).stem}_{data.dataset}_{mask_name}_{label}_seed{training.seed}"
        machine = dataclasses.replace(machine, run_dir=f"runs/{name}")
    return dataclasses.replace(config, data=data, mask=mask, training=training, recipe=recipe, machine=machine)


def _filled_in(path: str, sparsity: float) -> str:
    """The path with the user's folder for ~ and the percentage, 98 or 97.5, for {sparsity}."""
    return os.path.expanduser(path).replace("{sparsity}", f"{100 * sparsity:g}")


def _ghost_end(training: TrainingConfig, superpose: SuperposeConfig) -> int:
    """Where ghosts end by default: the first drop of the learning rate."""
    return min(training.lr_drop_epochs, default=max(1, superpose.ordinary_epochs(training.epochs) // 2))
