"""The flagfiles of the paper's tables and figures, and the numbers they are there to be compared with."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from tost_tf import models
from tost_tf.config.flags import parse, read_flagfile

PAPER = Path("flags/paper")
FLAGFILES = [path for path in sorted(PAPER.rglob("*.flags")) if path.name != "base.flags"]
NUMBERS = list(csv.DictReader(Path("benchmarks/paper_numbers.csv").read_text().splitlines()))
SHAPES = {"cifar10": ((32, 32, 3), 10), "cifar100": ((32, 32, 3), 100), "tiny_imagenet": ((64, 64, 3), 200)}


def test_there_is_a_flagfile_for_every_row_and_line():
    folders = Counter(path.parent.name for path in FLAGFILES)
    # Table 2: two networks and datasets, dense, and five masks with two recipes. Figure 6: two ghosts, four ways to end
    # them. Figure 7: two networks, datasets and recipes.
    assert folders == {"table2": 44, "table3": 4, "table4": 6, "table5": 6, "figure6": 8, "figure7": 8}


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: str(path.relative_to(PAPER)))
def test_settings_are_those_of_section_3_1(path):
    training = read_flagfile(path).training
    assert (training.epochs, training.batch_size, training.lr_drop_epochs) == (180, 128, (90, 135))
    assert (training.learning_rate, training.lr_drop_factor) == (0.1, 0.1)
    assert (training.momentum, training.weight_decay) == (0.9, 2e-4)
    assert path.read_text().splitlines()[0].startswith(f"# tost-train --flagfile={path}")


def test_every_model_can_be_built():
    configs = [read_flagfile(path) for path in FLAGFILES]
    wanted = {(config.model.model, config.data.dataset) for config in configs}
    assert {model for model, _ in wanted} == {"resnet18", "resnet32", "resnet50", "vgg16", "mobilenet"}
    for model, dataset in wanted:
        shape, classes = SHAPES[dataset]
        assert models.build(model, shape, classes).output_shape == (None, classes)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda row: f"{row['flagfile'][12:]} {row['sparsity']}")
def test_numbers_belong_to_their_flagfiles(number):
    config = parse([f"--flagfile={number['flagfile']}", f"--sparsity={number['sparsity']}"])
    assert (config.data.dataset, config.model.model) == (number["dataset"], number["model"])
    assert (config.mask.mask, config.mask.sparsity) == (number["mask"], float(number["sparsity"]))
    by_recipe = parse([f"--flagfile=flags/ablations/{number['recipe']}.flags"])
    assert config.recipe_label.split(" ghost_end_epoch")[0] == by_recipe.recipe_label.split(" ghost_end_epoch")[0]
    assert 10 < float(number["mean"]) < 100 or "difference" in number["quantity"]


def test_numbers_of_the_paper():
    by_cell = {(row["flagfile"], row["sparsity"]): (row["mean"], row["std"]) for row in NUMBERS}
    assert len(NUMBERS) == len(by_cell) == 176
    # Picked by eye from the paper, one in each table.
    assert by_cell["flags/paper/table2/cifar100_resnet50_grasp_tost.flags", "0.95"] == ("68.09", "0.12")
    assert by_cell["flags/paper/table2/cifar10_resnet32_random.flags", "0.98"] == ("86.13", "0.25")
    assert by_cell["flags/paper/table3/snip.flags", "0.85"] == ("58.91", "0.23")
    assert by_cell["flags/paper/table4/label_smoothing.flags", "0.8"] == ("73.70", "0.32")
    assert by_cell["flags/paper/table5/ghost_neurons.flags", "0.2"] == ("0.29", "")


@pytest.mark.parametrize("ghost", ["ghost_skips", "ghost_neurons"])
def test_ghostliness_of_figure_6(ghost):
    def recipe(kind):
        return read_flagfile(PAPER / f"figure6/{ghost}{kind}.flags").recipe

    assert (recipe("").ghost_schedule, recipe("").ghost_end_epoch) == ("linear", 90)
    assert recipe("_kept").keeps_ghosts
    assert (recipe("_late").ghost_schedule, recipe("_late").ghost_end_epoch) == ("linear", 135)
    assert (recipe("_abrupt").ghost_schedule, recipe("_abrupt").ghost_end_epoch) == ("constant", 150)
    alone = {"ghost_skips": ("none", "projection"), "ghost_neurons": ("pswish", "none")}[ghost]
    assert {(recipe(kind).ghost_neurons, recipe(kind).ghost_skips) for kind in ("", "_kept", "_late")} == {alone}


@pytest.mark.parametrize("density", ["dense", "sparsity_20", "sparsity_75", "sparsity_95"])
def test_densities_of_table_5_go_on_top_of_any_flagfile(density):
    tweak, density = (f"--flagfile=flags/ablations/{name}.flags" for name in ("ghost_neurons", density))
    config = parse(["--flagfile=flags/quickstart.flags", density, tweak])
    expected = {"dense": 0.0, "20": 0.2, "75": 0.75, "95": 0.95}[density.split("_")[-1].split("/")[-1].split(".")[0]]
    assert config.mask.mask == ("none" if expected == 0 else "random")
    assert config.mask.mask == "none" or config.mask.sparsity == expected
    assert config.recipe.ghost_neurons == "pswish" and config.model.model == "resnet20"


@pytest.mark.parametrize("path", sorted(Path("flags").rglob("*.flags")), ids=str)
def test_commands_in_the_headers_are_right(path):
    first = path.read_text().splitlines()[0]
    if path.name == "base.flags":
        return
    command, *arguments = first.removeprefix("# ").split()
    assert command == "tost-train" and f"--flagfile={path}" in arguments
    assert path.parent.name != "ablations" or parse(arguments).machine.run_dir not in ("runs/quickstart", "")
