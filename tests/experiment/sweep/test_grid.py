"""Grids as they are written, and the cells they have."""

import pytest

from tost_tf.errors import TostError
from tost_tf.experiment.flags import parse
from tost_tf.experiment.sweep.grid import read_grid

OWN = {"jobs": "int", "dry_run": "bool", "skip": "str"}


def cells(*arguments: str):
    return read_grid(arguments, OWN)[0]


def names(*arguments: str) -> list[str]:
    return [cell.name for cell in cells(*arguments)]


def test_the_first_axis_is_the_inner_one():
    assert names("--mask=snip|erk", "--epochs=9", "--seed=0|1") == [
        "snip_seed0",
        "erk_seed0",
        "snip_seed1",
        "erk_seed1",
    ]
    assert cells("--mask=erk", "--seed=0|1")[1].arguments == ("--mask=erk", "--seed=1")
    assert names("--mask=erk") == ["run"]


def test_options_that_are_lists_have_commas_inside_a_value():
    grid = cells("--lr_drop_epochs=30,60|45", "--epochs=90")
    assert [parse(cell.arguments).training.lr_drop_epochs for cell in grid] == [(30, 60), (45,)]
    assert [cell.name for cell in grid] == ["lr_drop_epochs30-60", "lr_drop_epochs45"]


def test_regular_expressions_are_not_split():
    assert len(cells("--layer_sparsity=a|b=0.5", "--new_layers=head|logits")) == 1
    (cell,) = cells("--dense_layers=^(stem|logits)$")
    assert parse(cell.arguments).mask.dense_layers == "^(stem|logits)$"


def test_flags_without_a_value():
    (cell,) = cells("--deterministic", "--noaugment", "--epochs", "7", "-seed=3")
    config = parse(cell.arguments)
    assert (config.training.deterministic, config.data.augment) == (True, False)
    assert (config.training.epochs, config.training.seed) == (7, 3)
    assert names("--deterministic=true|false") == ["deterministic", "nodeterministic"]


def test_the_last_flag_counts():
    assert names("--sparsity=0.9|0.95", "--mask=snip|erk", "--sparsity=0.98") == ["snip", "erk"]
    assert {argument for cell in cells("--sparsity=0.9", "--sparsity=0.5|0.6") for argument in cell.arguments} == {
        "--sparsity=0.5",
        "--sparsity=0.6",
    }


def test_cases_are_one_axis_of_flags_that_belong_together():
    grid = cells(
        "--case=tweak/none: --recipe=default",
        "--sparsity=0.9|0.95",
        "--case=tweak/late: --recipe=tost --ghost_end_epoch=30 --ghost_skip_initializer='he_normal'",
    )
    assert [cell.name for cell in grid] == [f"sparsity{s}_{tweak}" for tweak in ("none", "late") for s in (0.9, 0.95)]
    assert grid[2].labels == {"tweak": "late"} and grid[2].choices == {"sparsity": "0.9", "tweak": "late"}
    assert grid[2].arguments[-1] == "--ghost_skip_initializer=he_normal"
    assert grid[0].arguments == ("--sparsity=0.9", "--recipe=default")


def test_a_case_takes_the_axis_of_a_flag_before_it_away():
    grid = names(
        "--sparsity=0.9|0.95", "--mask=snip|erk", "--case=net/dense: --mask=none --sparsity=0", "--case=net/sparse: "
    )
    assert grid == ["dense", *(f"sparsity{s}_{m}_sparse" for m in ("snip", "erk") for s in (0.9, 0.95))]


def test_cases_may_be_grids():
    assert names("--case=a/x: --seed=0|1", "--case=a/y: --seed=2") == ["seed0_x", "seed1_x", "y"]


def test_flagfiles(tmp_path):
    (tmp_path / "base.flags").write_text("# a comment\n--epochs=9\n--sparsity=0.9|0.95\n--jobs=3\n")
    (tmp_path / "x.flags").write_text("--flagfile=base.flags\n--mask=snip\n")
    (tmp_path / "y.flags").write_text("--mask=erk\n--sparsity=0.5\n")
    grid, own = read_grid([f"--flagfile={tmp_path}/x.flags|{tmp_path}/y.flags", "--seed=4"], OWN)
    assert [cell.name for cell in grid] == ["sparsity0.9_x", "sparsity0.95_x", "y"]
    assert grid[0].labels == {"flagfile": "x"} and own["jobs"] == ["3"]
    assert grid[1].arguments == ("--epochs=9", "--sparsity=0.95", "--mask=snip", "--seed=4")
    (tmp_path / "z.flags").write_text("--mask=erk\n--seed=5\n")
    two = f"--flagfile={tmp_path}/y.flags|{tmp_path}/z.flags"
    assert len(cells(two, f"--flagfile={tmp_path}/x.flags|{tmp_path}/base.flags")) == 8
    single = names(f"--flagfile={tmp_path}/x.flags")
    assert single == ["sparsity0.9", "sparsity0.95"]


def test_options_of_the_sweep_are_not_in_the_grid():
    grid, own = read_grid(["--seed=1|2", "--jobs=2", "--dry_run", "--skip=a=1", "--skip", "b=2"], OWN)
    assert len(grid) == 2 and own == {"jobs": ["2"], "dry_run": ["true"], "skip": ["a=1", "b=2"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=3"], "'seed=3' is not a flag"),
        (["--seed"], "--seed has no value"),
        (["--case=tweak: --seed=1"], "must have the form AXIS/NAME: FLAGS"),
        (["--case=seed/a: --seed=1"], "--seed is already an option"),
        (["--case=a/b: --mask='snip"], "cannot be split into flags"),
        (["--case=a/b: snip"], "'snip' is not a flag"),
        (["--case=a/b: --seed=1", "--case=a/c:", "--case=a/b: --seed=2"], "--case=a/b is given twice: give each case"),
        (["--flagfile=flags/quickstart.flags|./flags/quickstart.flags"], "has 'quickstart' twice: give each flagfile"),
        (["--flagfile=nothing.flags"], "there is no flagfile 'nothing.flags'"),
        (["--flagfile=flags/quickstart.flags|nothing.flags"], "there is no flagfile 'nothing.flags'"),
    ],
)
def test_what_cannot_be_read(arguments, message):
    with pytest.raises(TostError, match=message):
        read_grid(arguments, OWN)


def test_flagfiles_that_include_each_other(tmp_path):
    (tmp_path / "a.flags").write_text("--flagfile=a.flags\n")
    with pytest.raises(TostError, match="include each other"):
        cells(f"--flagfile={tmp_path}/a.flags")
