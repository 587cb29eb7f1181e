"""The flagfiles of the paper's tables and figures, and the numbers they are there to be compared with.

There are many: each test looks at all of them and tells everything that is wrong at once.
"""

import csv
from collections import Counter
from pathlib import Path

import pytest

from tost_tf import models
from tost_tf.errors import TostError
from tost_tf.experiment.commands.mask import MaskOptions
from tost_tf.experiment.flags import parse, parse_with, read_flagfile
from tost_tf.masks.lottery import LotteryOptions

PAPER = Path("flags/paper")
TICKETS = sorted(PAPER.glob("tickets/*.flags"))
FLAGFILES = [path for path in sorted(PAPER.glob("*/*.flags")) if path not in TICKETS]
NUMBERS = list(csv.DictReader(Path("benchmarks/paper_numbers.csv").read_text().splitlines()))
SHAPES = {"cifar10": ((32, 32, 3), 10), "cifar100": ((32, 32, 3), 100), "tiny_imagenet": ((64, 64, 3), 200)}


def commands(path: Path) -> list[list[str]]:
    """Those in the comments at the top of a flagfile, as words."""
    lines = [line.removeprefix("# ").split() for line in path.read_text().splitlines() if line.startswith("# ")]
    return [words for words in lines if words[0] in ("tost-mask", "tost-train")]


def test_there_is_a_flagfile_for_every_row_and_line():
    folders = Counter(path.parent.name for path in FLAGFILES)
    # Table 2: two networks and datasets, dense, and five masks with two recipes. Figure 6: two ghosts, four ways to end
    # them. Figure 7: two networks, datasets and recipes.
    assert folders == {"table2": 44, "table3": 4, "table4": 6, "table5": 6, "figure6": 8, "figure7": 8}


def test_settings_are_those_of_section_3_1():
    wrong = []
    for path in (*FLAGFILES, *TICKETS):
        config = read_flagfile(path)
        training = config.training
        settings = (training.epochs, training.batch_size, training.lr_drop_epochs)
        settings += (config.method_options(LotteryOptions).lottery_epochs,)
        settings += (training.learning_rate, training.lr_drop_factor, training.momentum, training.weight_decay)
        if settings != (180, 128, (90, 135), 180, 0.1, 0.1, 0.9, 2e-4) or config.mask.dense_layers != "^logits$":
            wrong.append(f"{path}: {settings}")
    assert not wrong, "\n".join(wrong)


def test_networks_are_the_papers():
    configs = {path: read_flagfile(path) for path in FLAGFILES}
    by_folder = {path.parent.name: set() for path in FLAGFILES}
    for path, config in configs.items():
        by_folder[path.parent.name].add((config.model.model, config.data.dataset))
    cifar = ("cifar10", "cifar100")
    assert by_folder == {
        "table2": {(model, dataset) for model in ("resnet32x2", "resnet50") for dataset in cifar},
        "table3": {("resnet50", "tiny_imagenet")},
        **{folder: {("resnet18", "cifar100")} for folder in ("table4", "table5", "figure6")},
        "figure7": {(model, dataset) for model in ("vgg16", "mobilenet") for dataset in cifar},
    }
    assert all(config.model.width_multiplier == 1 for config in configs.values())
    named = [path for path in FLAGFILES if path.parent.name in ("table2", "figure7")]
    assert all(path.stem.startswith(f"{configs[path].data.dataset}_{configs[path].model.model}") for path in named)
    for model, dataset in set().union(*by_folder.values()):
        shape, classes = SHAPES[dataset]
        assert models.build(model, shape, classes, 0.1).output_shape == (None, classes)


def test_every_recipe_of_a_ticket_trains_the_same_ticket():
    wrong, used = [], set()
    for path in FLAGFILES:
        text = path.read_text().splitlines()[0].removeprefix("# ")
        if read_flagfile(path).mask.mask != "lottery":
            assert text.startswith("tost-train ")
            continue
        search, train = commands(path)
        found, options = parse_with(search[1:], MaskOptions)
        ticket = Path(search[1].removeprefix("--flagfile="))
        used.add(ticket)
        out = Path(options.out)
        for sparsity in (found.mask.sparsity, 0.9):
            config = parse([*train[1:], f"--sparsity={sparsity}"])
            expected = out.with_name(f"{out.stem.rpartition('_')[0]}_{100 * sparsity:g}.npz")
            weights = expected.with_name(f"{expected.stem}_weights.npz")
            if (Path(config.mask.mask_file), Path(config.mask.initial_weights)) != (expected, weights):
                wrong.append(f"{path}: {config.mask}")
        config = parse(train[1:])
        same = (found.data, found.model, found.training) == (config.data, config.model, config.training)
        if not same or Path(config.mask.mask_file) != out:
            wrong.append(f"{path}: its ticket is of another run")
        if ticket not in TICKETS or (found.mask.mask, found.mask.mask_file) != ("lottery", ""):
            wrong.append(f"{path}: {ticket} does not search")
    assert not wrong, "\n".join(wrong)
    assert used == set(TICKETS)


def test_numbers_belong_to_their_flagfiles():
    wrong = []
    for number in NUMBERS:
        config = parse([f"--flagfile={number['flagfile']}", f"--sparsity={number['sparsity']}"])
        own = (config.data.dataset, config.model.model, config.mask.mask)
        told = (number["dataset"], number["model"], number["mask"])
        percentage = f"_{100 * float(number['sparsity']):g}.npz"
        if not (config.mask.mask_file.endswith(percentage) or config.mask.sparsity == float(number["sparsity"])):
            wrong.append(f"{number}: {config.mask}")
        by_recipe = parse([f"--flagfile=flags/ablations/{number['recipe']}.flags"])
        labels = [made.recipe_label.split(" ghost_end_epoch")[0] for made in (config, by_recipe)]
        if own != told or labels[0] != labels[1]:
            wrong.append(f"{number}: {own}, {labels}")
        if not (10 < float(number["mean"]) < 100 or "difference" in number["quantity"]):
            wrong.append(f"{number}: no accuracy")
        if number["mean"].lstrip("+-") not in Path(number["flagfile"]).read_text():
            wrong.append(f"{number}: not in the comments of the flagfile")
    assert not wrong, "\n".join(wrong)


def test_numbers_of_the_paper():
    by_cell = {(row["flagfile"], row["sparsity"]): (row["mean"], row["std"]) for row in NUMBERS}
    assert len(NUMBERS) == len(by_cell) == 176
    # Picked by eye from the paper, one in each table.
    assert by_cell["flags/paper/table2/cifar100_resnet50_grasp_tost.flags", "0.95"] == ("68.09", "0.12")
    assert by_cell["flags/paper/table2/cifar10_resnet32x2_random.flags", "0.98"] == ("86.13", "0.25")
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
    tweak, on_top = (f"--flagfile=flags/ablations/{name}.flags" for name in ("ghost_neurons", density))
    config = parse(["--flagfile=flags/quickstart.flags", on_top, tweak])
    expected = 0.0 if density == "dense" else float(density.removeprefix("sparsity_")) / 100
    assert config.mask.mask == ("none" if expected == 0 else "random")
    assert config.mask.mask == "none" or config.mask.sparsity == expected
    assert config.recipe.ghost_neurons == "pswish" and config.model.model == "resnet20"
    of_table = parse(["--flagfile=flags/paper/table5/ghost_neurons.flags", on_top]).mask
    stem = "" if density == "dense" else f"runs/tickets/cifar100_resnet18_{100 * expected:g}"
    assert of_table.mask_file == (stem and f"{stem}.npz")
    assert of_table.initial_weights == (stem and f"{stem}_weights.npz")


def test_commands_in_the_headers_are_right():
    wrong = []
    for path in sorted(Path("flags").rglob("*.flags")):
        if path.name == "base.flags":
            continue
        *before, (command, *arguments) = commands(path)
        if path in TICKETS:
            parse_with(arguments, MaskOptions)
        expected = "tost-mask" if path in TICKETS else "tost-train"
        if command != expected or f"--flagfile={path}" not in arguments or len(before) > 1:
            wrong.append(f"{path}: {command} {' '.join(arguments)}")
        try:
            config = parse([argument for argument in arguments if not argument.startswith("--out=")])
        except TostError as error:
            wrong.append(f"{path}: {error}")
            continue
        if path.parent.name == "ablations" and config.machine.run_dir in ("runs/quickstart", ""):
            wrong.append(f"{path}: --run_dir of another run")
    assert not wrong, "\n".join(wrong)
