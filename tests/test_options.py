"""Options: ranges, names, and the rule for those that have no effect."""

import dataclasses

import pytest

from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig, all_groups
from tost_tf.options import Allowed, check_effects, none_of, one_of, option


@dataclasses.dataclass(frozen=True)
class Cake:
    kind: str = option("plain", "which cake", names=("plain", "fruit", "cheese"))
    fruit: int = option(3, "how many", only_with={"kind": one_of("fruit")})
    topping: str = option("", "what is on it", only_with={"kind": none_of("plain", "cheese")})
    minutes: int = option(0, "in the oven", only_with_one={"kind": one_of("plain"), "topping": one_of("crumble")})


def checked(**values):
    check_effects(dataclasses.fields(Cake), dataclasses.asdict(Cake(**values)), dataclasses.asdict(Cake()), {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fruit": 4}, "--fruit=4 has no effect with --kind=plain: leave it out, or use --kind=fruit"),
        ({"kind": "cheese", "topping": "jam"}, r"--topping=jam .* use --kind=\(anything but plain or cheese\)"),
        ({"kind": "cheese", "minutes": 9}, "--minutes=9 .* use --kind=plain or --topping=crumble"),
    ],
)
def test_option_without_effect_is_refused_in_one_sentence(values, message):
    with pytest.raises(TostError, match=message):
        checked(**values)


def test_option_with_an_effect_or_at_its_default_is_fine():
    checked(kind="fruit", fruit=4, topping="crumble", minutes=5)
    checked(kind="cheese", fruit=3)
    checked(minutes=5)


def test_range_in_words():
    assert Allowed("", minimum=0.3, below=2).range_text() == "at least 0.3 and below 2"
    assert Allowed("", above=1).contains(1.1) and not Allowed("", above=1).contains(1)
    assert not Allowed("").contains(float("inf")) and not Allowed("", maximum=3).contains(float("nan"))


# Each with a value beside its default, and everything else as it is by default: refused, because it has no effect.
WITHOUT_EFFECT = {
    "default": {
        *("ghost_skip_initializer", "ghost_schedule", "ghost_end_epoch", "beta_start", "beta_end", "rescale_steps"),
        *("beta_schedule", "ghost_skip_gate", "ghost_dead_channels"),
        *("distill_weight", "distill_temperature", "mask_examples_per_class", "synflow_iterations"),
        *("lottery_epochs", "lottery_fraction", "rewind_epoch", "lottery_mode"),
        *("update_every", "drop_fraction", "drop_schedule", "dynamic_end_fraction", "initial_sparsity"),
        *("cycle_fraction", "cycle_epochs", "cycle_drop_fraction", "cycle_growth", "cycle_low_learning_rate"),
        *("cycle_high_learning_rate", "cima_factor", "record_examples", "worker_timeout"),
        *("keep_zeros", "new_layers", "name_map"),
    }
}
WITHOUT_EFFECT["tost"] = WITHOUT_EFFECT["default"] - {
    *("ghost_skip_initializer", "ghost_schedule", "ghost_end_epoch", "beta_start", "beta_end", "rescale_steps"),
    *("beta_schedule", "ghost_skip_gate", "ghost_dead_channels"),
}
WITHOUT_EFFECT["tost_plus"] = WITHOUT_EFFECT["default"] | {"lr_drop_epochs", "lr_drop_factor", "adaptive_crops"}
# Values that are beside the default and within all ranges.
OTHER = {str: "he_normal", bool: None, int: 7, float: 0.4, tuple: (3, 5)}
SPECIAL = {
    "ghost_schedule": "cosine",
    "beta_schedule": "inverse",
    "ghost_skip_gate": "stochastic",
    "ghost_dead_channels": "relu",
    "ghost_end_epoch": 7,
    "beta_end": 7.0,
    "lottery_mode": "lr_rewind",
    "drop_schedule": "constant",
    "cycle_growth": "random",
    "lottery_epochs": 9,
    "distill_weight": 0.3,
    "layer_sparsity": "stem=0.3",
    "mask_scope": "layer",
    "mask_pattern": "fan_in",
    "sparsity": 0.3,
    "virtual_devices": 2,
    "initial_sparsity": 0.3,
    "lr_drop_epochs": (3, 5),
}


@pytest.mark.parametrize("recipe", ["default", "tost", "tost_plus"])
def test_every_option_alone_has_an_effect_or_is_refused(recipe):
    refused = set()
    for group in all_groups().values():
        for field in dataclasses.fields(group):
            allowed = field.metadata["allowed"]
            if not (allowed.only_with or allowed.only_with_one) and field.name not in WITHOUT_EFFECT[recipe]:
                continue
            value = SPECIAL.get(field.name, OTHER.get(type(field.default)))
            value = not field.default if value is None else value
            try:
                RunConfig.make(recipe=recipe, **{field.name: value})
            except TostError as error:
                assert f"--{field.name}=" in str(error) and "has no effect with --" in str(error), error
                refused.add(field.name)
    assert refused == WITHOUT_EFFECT[recipe]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": "erk", "mask_scope": "layer"}, "--mask_scope=layer has no effect with --mask=erk"),
        ({"mask_file": "m.npz", "sparsity": 0.3}, "--sparsity=0.3 has no effect with --mask_file=m.npz"),
        ({"mask": "snip", "synflow_iterations": 5}, "--synflow_iterations=5 .* use --mask=synflow"),
        ({"mask": "snip", "mask_file": "m.npz", "mask_examples_per_class": 5}, "no effect with --mask_file=m.npz"),
        ({"mask": "none", "mask_shuffle": True}, "--mask_shuffle=True has no effect with --mask=none"),
        ({"superpose": "caa", "cycle_growth": "none", "cycle_drop_fraction": 0.3}, "with --cycle_growth=none"),
        ({"superpose": "caa", "cima_factor": 0.3}, "--cima_factor=0.3 .* use --superpose=cima"),
        ({"dynamic": "rigl", "mask": "erk", "initial_sparsity": 0.3}, "--initial_sparsity=0.3 .* use --dynamic=granet"),
        ({"distribution": "none", "virtual_devices": 2}, "--virtual_devices=2 has no effect with --distribution=none"),
        ({"mask": "none", "sparsity": 0.98}, "--sparsity=0.98 has no effect with --mask=none"),
        ({"ghost_schedule": "constant", "beta_end": 5.0}, "--beta_end=5.0 has no effect with --ghost_schedule=const"),
        ({"ghost_schedule": "constant", "beta_schedule": "inverse"}, "--beta_schedule=inverse .* --ghost_schedule=con"),
        ({"lr_drop_epochs": (), "lr_drop_factor": 0.3}, "factor=0.3 has no effect .* use --lr_drop_epochs=EPOCHS"),
        ({"teacher": "train", "distill_weight": 0.0}, "--teacher=train has no effect with --distill_weight=0"),
        ({"teacher": "t", "distill_weight": 1.0, "label_smoothing": 0.2}, "smoothing=0.2 .* --distill_weight=1"),
    ],
)
def test_pairs_without_effect(options, message):
    with pytest.raises(TostError, match=message):
        RunConfig.make(**options)


def test_values_that_nothing_contradicts():
    for sparsity in (0.0, 0.95):  # what a flagfile says of the dense network, and the default
        assert RunConfig.make(mask="none", sparsity=sparsity).mask.mask == "none"
    # β stays where it starts, so it may start above where it would end.
    for options in ({"ghost_schedule": "constant"}, {"ghost_end_epoch": -1}):
        assert RunConfig.make(beta_start=30.0, **options).recipe.beta_start == 30
    assert RunConfig.make(lr_drop_epochs=(3,), lr_drop_factor=0.3).training.lr_drop_factor == 0.3
    assert RunConfig.make(teacher="t", distill_weight=1.0).recipe.label_smoothing == 0.1  # what the recipe says


def test_options_of_methods_reach_them():
    config = RunConfig.make(mask="snip", mask_examples_per_class=3)
    from tost_tf.masks.gradient_scores import ExamplesOptions

    assert config.method_options(ExamplesOptions).mask_examples_per_class == 3
    assert config.options()["mask_examples_per_class"] == 3
