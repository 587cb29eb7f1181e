"""The sweeps of flags/: the paper's tables and figures, its numbers, and the studies of this project."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from tost_tf import models
from tost_tf.experiment.commands.sweep import _chosen
from tost_tf.experiment.flags import parse, parse_own
from tost_tf.experiment.report_options import ReportOptions
from tost_tf.experiment.sweep.grid import read_grid
from tost_tf.experiment.sweep_options import SweepOptions
from tost_tf.masks.lottery import LotteryOptions

SWEEPS = {path.stem: path for path in sorted(Path("flags/sweeps").glob("*.flags"))}
PAPER = [name for name in SWEEPS if name.startswith(("table", "figure"))]
NUMBERS = list(csv.DictReader(Path("benchmarks/paper_numbers.csv").read_text().splitlines()))
SHAPES = {"cifar10": ((32, 32, 3), 10), "cifar100": ((32, 32, 3), 100), "tiny_imagenet": ((64, 64, 3), 200)}
OWN = {name: "bool" if name == "dry_run" else "str" for name in SweepOptions.__dataclass_fields__}


def cells_of(*arguments: str):
    cells, own = read_grid(arguments, OWN)
    return _chosen(cells, own["skip"], (own["only"] or [""])[-1])


@pytest.fixture(scope="module")
def configs():
    """The runs of seed 0, by sweep."""
    found = {name: cells_of(f"--flagfile={path}") for name, path in SWEEPS.items()}
    return {
        name: [parse(c.arguments) for c in cells if c.choices.get("seed", "0") == "0"] for name, cells in found.items()
    }


def test_how_many_runs_there_are():
    assert {name: len(cells_of(f"--flagfile={path}")) for name, path in SWEEPS.items()} == {
        "table2": 3 * 4 * (1 + 5 * 2 * 3),
        "table3": 3 * 2 * 2 * 3,
        "table4": 3 * 6 * 5,
        "table5": 3 * 3 * (1 + 3),
        "figure6": 3 * 8 * 4,
        "figure7": 3 * 4 * 2 * 8,
        "tweaks_digits": 90,
        "tweaks_cifar10": 2,
        "suptickets_digits": 48,
        "six_masks": 7,
        "search_long": 2 * 4 * 18 * 3,
        "search_length": 5 * 2 * 4 * 3,
        "confirm98": 2 * 4 * 5 * 3,
        "confirm95": 2 * 4 * 4 * 3,
    }


def test_settings_of_the_paper_are_those_of_section_3_1(configs):
    for name in PAPER:
        for config in configs[name]:
            training = config.training
            settings = (training.epochs, training.batch_size, training.lr_drop_epochs)
            settings += (config.method_options(LotteryOptions).lottery_epochs,)
            settings += (training.learning_rate, training.lr_drop_factor, training.momentum, training.weight_decay)
            assert settings == (180, 128, (90, 135), 180, 0.1, 0.1, 0.9, 2e-4), name
            assert config.mask.dense_layers == "^logits$" and not config.mask.mask_file


def test_networks_are_the_papers(configs):
    found = {name: {(c.model.model, c.data.dataset) for c in configs[name]} for name in PAPER}
    cifar = ("cifar10", "cifar100")
    assert found == {
        "table2": {(model, dataset) for model in ("resnet32x2", "resnet50") for dataset in cifar},
        "table3": {("resnet50", "tiny_imagenet")},
        **{name: {("resnet18", "cifar100")} for name in ("table4", "table5", "figure6")},
        "figure7": {(model, dataset) for model in ("vgg16", "mobilenet") for dataset in cifar},
    }
    for model, dataset in dict(sorted(set().union(*found.values()))).items():  # each network once
        shape, classes = SHAPES[dataset]
        assert models.build(model, shape, classes, 0.1).output_shape == (None, classes)


def test_every_number_of_the_paper_belongs_to_a_run(configs):
    runs = {
        name: {
            (
                c.data.dataset,
                c.model.model,
                c.mask.mask,
                c.recipe_label,
                c.mask.sparsity if c.mask.mask != "none" else 0.0,
            )
            for c in configs[name]
        }
        for name in PAPER
    }
    wrong = []
    for row in NUMBERS:
        own = (row["dataset"], row["model"], row["mask"], row["recipe"], float(row["sparsity"]))
        if own not in runs[Path(row["sweep"]).stem]:
            wrong.append(str(row))
        if not (10 < float(row["mean"]) < 100 or "difference" in row["quantity"]):
            wrong.append(f"{row}: no accuracy")
    assert not wrong, "\n".join(wrong)
    assert Counter(row["where"] for row in NUMBERS) == {
        **{"Table 2": 4 * 31, "Table 3": 12, "Table 4": 30, "Table 5": 8, "Section 3.4": 2}
    }


def test_numbers_of_the_paper():
    names = ("where", "dataset", "model", "mask", "recipe", "sparsity")
    by_cell = {tuple(row[name] for name in names): (row["mean"], row["std"]) for row in NUMBERS}
    assert len(NUMBERS) == len(by_cell) == 176
    # Picked by eye from the paper, one in each table.
    smoothing, neurons = "default label_smoothing=0.1", "default ghost_neurons=pswish"
    assert by_cell["Table 2", "cifar100", "resnet50", "grasp", "tost", "0.95"] == ("68.09", "0.12")
    assert by_cell["Table 2", "cifar10", "resnet32x2", "random", "default", "0.98"] == ("86.13", "0.25")
    assert by_cell["Table 3", "tiny_imagenet", "resnet50", "snip", "default", "0.85"] == ("58.91", "0.23")
    assert by_cell["Table 4", "cifar100", "resnet18", "lottery", smoothing, "0.8"] == ("73.70", "0.32")
    assert by_cell["Table 5", "cifar100", "resnet18", "lottery", neurons, "0.2"] == ("0.29", "")


@pytest.mark.parametrize("ghost", ["ghost_skips", "ghost_neurons"])
def test_ghostliness_of_figure_6(ghost):
    def recipe(kind):
        (cell,) = cells_of(f"--flagfile={SWEEPS['figure6']}", f"--only=ending={ghost}{kind},sparsity=0.9,seed=1")
        return parse(cell.arguments).recipe

    assert (recipe("").ghost_schedule, recipe("").ghost_end_epoch) == ("linear", 90)
    assert recipe("_kept").keeps_ghosts
    assert (recipe("_late").ghost_schedule, recipe("_late").ghost_end_epoch) == ("linear", 135)
    assert (recipe("_abrupt").ghost_schedule, recipe("_abrupt").ghost_end_epoch) == ("constant", 150)
    alone = {"ghost_skips": ("none", "projection"), "ghost_neurons": ("pswish", "none")}[ghost]
    assert {(recipe(kind).ghost_neurons, recipe(kind).ghost_skips) for kind in ("", "_kept", "_late")} == {alone}


def test_studies_of_this_project_are_those_of_their_tables(configs):
    tweaks = {(c.mask.mask, c.mask.sparsity) for c in configs["tweaks_digits"]}
    assert tweaks == {("random", 0.95), ("random", 0.98), ("snip", 0.95), ("snip", 0.98), ("erk", 0.98)}
    assert {c.recipe.ghost_end_epoch for c in configs["tweaks_digits"]} == {30, None}
    table = csv.DictReader(Path("benchmarks/results/six_masks.csv").read_text().splitlines())
    assert [c.mask.mask for c in configs["six_masks"]] == table.fieldnames[1:]


def test_a_dense_network_after_any_flagfile():
    for name, model in (("quickstart", "resnet20"), ("cifar10_resnet32x2_random98_tost", "resnet32x2")):
        config = parse([f"--flagfile=flags/{name}.flags", "--flagfile=flags/ablations/dense.flags"])
        assert config.mask.mask == "none" and config.model.model == model


def test_commands_in_the_headers_are_right():
    wrong = []
    for path in sorted(Path("flags").rglob("*.flags")):
        lines = [line.removeprefix("# ") for line in path.read_text().splitlines()]
        commands = [line.split() for line in lines if line.startswith("tost-")]
        if path.name == "base.flags":
            assert not commands
            continue
        first = commands[0][0]
        if first != "tost-train" and not (first == "tost-sweep" and path.parent.name in ("sweeps", "ablations")):
            wrong.append(f"{path}: {first}")
        for command, *arguments in commands:
            if command == "tost-report":
                _, (folder,) = parse_own(arguments, ReportOptions)
                assert folder == f"runs/{path.stem}"
            elif command == "tost-sweep":
                cells = cells_of(*arguments)
                if len(cells) != 1 and any("--only" in word for word in arguments):
                    wrong.append(f"{path}: {' '.join(arguments)} are {len(cells)} cells")
            else:
                config = parse(arguments)
                if path.parent.name == "ablations" and config.machine.run_dir in ("runs/quickstart", ""):
                    wrong.append(f"{path}: --run_dir of another run")
            if path.parent.name != "ablations" and command != "tost-report" and f"--flagfile={path}" not in arguments:
                wrong.append(f"{path}: {command} {' '.join(arguments)}")
    assert not wrong, "\n".join(wrong)
