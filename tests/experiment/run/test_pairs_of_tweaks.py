"""No two options of the training make the loss blow up, whatever the mask, those that starve layers included."""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import quick
from tost_tf.compat import keras, tf
from tost_tf.data.digits import load_digits
from tost_tf.data.options import DataConfig
from tost_tf.data.pipeline import normalise
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.callbacks import NonFiniteLoss, StopOnNonFiniteLoss
from tost_tf.experiment.run.network import (
    add_ghosts,
    add_ghosts_and_compile,
    find_dead_channels,
    training_loss,
    without_branches,
)
from tost_tf.experiment.run.optimizer import make_average

STEPS, BATCH = 50, 32
SKIPS = {
    "constant": {"ghost_skips": "projection"},
    "he_normal": {"ghost_skips": "projection", "ghost_skip_initializer": "he_normal"},
    "dirac": {"ghost_skips": "projection", "ghost_skip_initializer": "dirac"},
    "identity": {"ghost_skips": "identity"},
}
FACTORS: Mapping[str, tuple[Any, ...]] = {
    "mask": ("random", "erk", "magnitude", "snip", "grasp", "synflow", "starved", "cut"),
    "skips": tuple(SKIPS),
    "optimizer": ("sgd", "orthogonal", "lars", "adamw"),
    "optimizer_tweak": ("ham", "none", "sparse_opt", "s2_sam", "sign_in"),
    "ghost_skip_gate": ("scaled", "stochastic", "variance_preserving"),
    "ghost_neurons": ("pswish", "mish", "dyrelu"),
    "ghost_dead_channels": ("soft", "relu"),
    "beta_schedule": ("linear", "inverse", "logarithmic"),
    "ghost_schedule": ("linear", "constant", "delayed"),
    "ghost_end_epoch": (1, 9),
    "ghost_branches": (1, 2),
    "rescale_init": (False, True),
    "weight_average": (0.0, 0.9),
    "label_smoothing": (0.0, 0.1),
}
SPARSITY = 0.95


def in_pairs(factors: Mapping[str, tuple[Any, ...]], seed: int) -> list[dict[str, Any]]:
    """Rows with a value of each factor, in which any two values of two factors stand together at least once."""
    generator = np.random.default_rng(seed)
    places = [(name, value) for name, values in factors.items() for value in values]
    left = {pair for pair in itertools.combinations(places, 2) if pair[0][0] != pair[1][0]}
    rows = []
    while left:
        first = min(left, key=str)
        tried = [
            {name: values[generator.integers(len(values))] for name, values in factors.items()} | dict(first)
            for _ in range(60)
        ]
        rows.append(max(tried, key=lambda row: len(left & set(itertools.combinations(row.items(), 2)))))
        left -= set(itertools.combinations(rows[-1].items(), 2))
    return rows


def little() -> keras.Model:
    """A stem, a block of two convolutions with a shortcut, and the classifier of digits."""
    layers = keras.layers
    image = keras.Input((8, 8, 1))

    def normalised(x, name, filters, strides=1, kernel_size=3):
        x = layers.Conv2D(filters, kernel_size, strides, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization(name=f"{name}_bn")(x)

    x = layers.ReLU(name="relu1")(normalised(image, "stem", 6))
    y = layers.ReLU(name="relu2")(normalised(x, "conv1", 8, 2))
    y = layers.Add()([normalised(y, "conv2", 8), normalised(x, "shortcut", 8, 2, 1)])
    x = layers.GlobalAveragePooling2D()(layers.ReLU(name="relu3")(y))
    return keras.Model(image, layers.Dense(10, name="logits")(x), name="little")


@pytest.fixture(scope="module")
def batches() -> tuple[np.ndarray, np.ndarray]:
    """Images of digits and their one-hot labels."""
    data = load_digits(DataConfig(dataset="digits"))
    chosen = data.train.take(np.arange(STEPS * BATCH) % len(data.train))
    return normalise(chosen.images, data).numpy(), np.eye(10, dtype=np.float32)[chosen.labels]


@pytest.fixture(scope="module")
def masks(batches) -> Callable[[str], tuple[keras.Model, tost.Masks]]:
    """A network and a mask for it, by the name of the mask."""
    examples = [(tf.constant(batches[0][:BATCH]), tf.constant(batches[1][:BATCH]))]

    @functools.cache
    def find(name: str) -> tuple[keras.Model, tost.Masks]:
        keras.utils.set_random_seed(3)
        model = little()
        if name in ("starved", "cut"):
            mask = {path: array.copy() for path, array in tost.masks.erk(model, sparsity=SPARSITY).items()}
            mask["conv1/kernel"][..., 1:] = 0
            if name == "cut":
                mask["shortcut/kernel"][:] = 0
                mask["conv2/kernel"][:, :, 0] = 0
            return model, tost.Masks(mask)
        if name in ("snip", "grasp"):
            return model, getattr(tost.masks, name)(model, examples, sparsity=SPARSITY)
        return model, getattr(tost.masks, name)(model, sparsity=SPARSITY)

    return find


def train(row: Mapping[str, Any], masks: Callable, batches: tuple[np.ndarray, np.ndarray]) -> None:
    """Trains 50 steps as a run would; raises `NonFiniteLoss`."""
    model, mask = masks(row["mask"])
    options = {name: value for name, value in row.items() if name not in ("mask", "skips")} | SKIPS[row["skips"]]
    if options["ghost_neurons"] == "dyrelu" or options["ghost_schedule"] == "constant":
        del options["beta_schedule"]  # which has no effect then
    if (options["ghost_neurons"], options["optimizer_tweak"]) == ("dyrelu", "ham"):
        options["optimizer_tweak"] = "none"  # the two do not go together
    if options["optimizer_tweak"] == "sign_in":
        options["optimizer"] = "sgd"  # the only one it goes with
    config = RunConfig.make(recipe="default", epochs=10, dataset="digits", **options)
    if config.recipe.rescale_init:
        ghosted = add_ghosts(without_branches(config), model, mask)
        find_dead_channels(config, ghosted, batches[0][:BATCH])
        halves = tf.data.Dataset.from_tensor_slices(batches).batch(BATCH // 2)
        tost.rescale_init(ghosted, halves, steps=10, loss=training_loss(config))
        model = tost.strip(ghosted, ghosts="remove")
    ghosted = add_ghosts_and_compile(config, model, mask)
    find_dead_channels(config, ghosted, batches[0][:BATCH])
    recipe, average = config.recipe, make_average(config.recipe)
    schedule = tost.GhostSchedule(
        recipe.ghost_end_epoch, STEPS, recipe.ghost_schedule, beta_schedule=recipe.beta_schedule
    )
    callbacks = [schedule, StopOnNonFiniteLoss(), *([average] if average else [])]
    ghosted.fit(*batches, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
    assert all(np.isfinite(weight).all() for weight in ghosted.get_weights())


def each_once(factors: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """As few rows as there are values of the largest factor, in which each value stands at least once."""
    count = max(map(len, factors.values()))
    # Turned by another number of places for each factor, so that the same ones do not always stand together.
    return [
        {name: values[(row + turn) % len(values)] for turn, (name, values) in enumerate(factors.items())}
        for row in range(count)
    ]


# Four rows in sequence have all values of the factors with four or fewer, and all tweaks but "none". The masks of the
# other rows are trained with in tests/experiment/stages and tests/experiment/commands, too.
@pytest.mark.parametrize("row", quick(each_once(FACTORS), each_once(FACTORS)[4:]), ids=lambda row: row["mask"])
def test_every_value_trains(row, masks, batches):
    train(row | {"rescale_init": row["mask"] == "starved"}, masks, batches)  # which takes longer than all the rest


def test_loss_that_blows_up_is_seen(masks, batches):
    with pytest.raises(NonFiniteLoss):
        train(each_once(FACTORS)[0] | {"learning_rate": 1e30, "rescale_init": False}, masks, batches)


@pytest.mark.exhaustive
@pytest.mark.parametrize("row", in_pairs(FACTORS, seed=0), ids=lambda row: "-".join(map(str, row.values())))
def test_every_pair_trains(row, masks, batches):
    train(row, masks, batches)


def test_pairs_are_all_there():
    factors = {"a": (1, 2, 3), "b": ("x", "y"), "c": (True, False), "d": (0.1, 0.2, 0.3)}
    rows = in_pairs(factors, seed=0)
    assert 9 <= len(rows) <= 14 and all(row.keys() == factors.keys() for row in rows)
    for one, other in itertools.combinations(factors, 2):
        pairs = {(row[one], row[other]) for row in rows}
        assert pairs == set(itertools.product(factors[one], factors[other]))
    values = {(name, value) for row in each_once(factors) for name, value in row.items()}
    assert values == {(name, value) for name in factors for value in factors[name]}
