import subprocess
import sys
from pathlib import Path

import pytest

from tost_tf.errors import TostError
from tost_tf.experiment import flags
from tost_tf.experiment.options import RunConfig, all_groups
from tost_tf.experiment.recipe import RECIPES

# Sweeps are grids: tests/experiment/test_sweep_flagfiles.py reads them.
FLAGFILES = sorted(path for path in Path("flags").rglob("*.flags") if path.parent.name != "sweeps")


def test_flags_reach_the_config():
    config = flags.parse(
        [
            "--sparsity=0.98",
            "--lr_drop_epochs=3,5",
            "--epochs",
            "9",
            "--deterministic",
            "--noaugment",
            "--dataset=digits",
        ]
    )
    assert config.mask.sparsity == 0.98
    assert config.training.lr_drop_epochs == (3, 5)
    assert (config.training.epochs, config.training.deterministic, config.data.augment) == (9, True, False)


def test_flagfiles_nest_and_the_later_flag_wins(tmp_path):
    (tmp_path / "base.flags").write_text("# a comment\n--epochs=20\n--sparsity=0.9\n")
    (tmp_path / "top.flags").write_text(f"--flagfile={tmp_path}/base.flags\n--sparsity=0.97\n")
    config = flags.parse([f"--flagfile={tmp_path}/top.flags", "--seed=5"])
    assert (config.training.epochs, config.mask.sparsity, config.training.seed) == (20, 0.97, 5)
    assert flags.parse([f"--flagfile={tmp_path}/top.flags", "--sparsity=0.5"]).mask.sparsity == 0.5


def test_written_flags_repeat_the_run(tmp_path):
    config = flags.parse(["--recipe=default", "--ghost_neurons=mish", "--epochs=7", "--dense_layers=^stem$"])
    (tmp_path / "config.flags").write_text(flags.to_flagfile(config))
    assert flags.read_flagfile(tmp_path / "config.flags") == config


def test_another_recipe_after_written_flags_sets_its_tweaks(tmp_path):
    tost = flags.parse(["--recipe=tost", "--epochs=7", "--ghost_skips=identity"])
    (tmp_path / "config.flags").write_text(flags.to_flagfile(tost))
    default = flags.parse([f"--flagfile={tmp_path}/config.flags", "--recipe=default"])
    assert (default.recipe.ghost_neurons, default.recipe.ghost_skips) == ("none", "identity")
    assert default.recipe.label_smoothing == 0 and not default.recipe.rescale_init


def test_a_run_is_read_as_it_was_where_its_recipe_is_another_one_now(tmp_path, monkeypatch):
    (tmp_path / "config.flags").write_text(flags.to_flagfile(flags.parse(["--recipe=tost_plus", "--epochs=7"])))
    was = flags.read_config(tmp_path / "config.flags")
    for another in ({"weight_decay": 3e-3, "label_smoothing": 0.2}, {"schedule": "cosine", "weight_average": 0.9}):
        monkeypatch.setitem(RECIPES, "tost_plus", another)
        assert flags.parse(["--recipe=tost_plus", "--epochs=7"]) != was
        assert flags.read_config(tmp_path / "config.flags") == was
    (tmp_path / "crops.flags").write_text(flags.to_flagfile(flags.parse(["--recipe=tost_plus"])))
    monkeypatch.setitem(RECIPES, "tost_plus", another | {"crop_padding": 0})
    assert flags.read_config(tmp_path / "crops.flags").data.crop_padding is None


@pytest.mark.parametrize("recipe", ["default", "tost_plus"])
def test_defaults_that_depend_on_others_do_not_hinder_another_recipe(tmp_path, recipe):
    (tmp_path / "config.flags").write_text(flags.to_flagfile(flags.parse(["--recipe=tost", "--epochs=12"])))
    other = flags.parse([f"--flagfile={tmp_path}/config.flags", f"--recipe={recipe}"])
    assert other == flags.parse([f"--recipe={recipe}", "--epochs=12", f"--run_dir={other.machine.run_dir}"])


def test_flagfile_is_found_in_the_folder_of_the_one_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "flags").mkdir()
    (tmp_path / "flags/base.flags").write_text("--epochs=20\n")
    (tmp_path / "flags/top.flags").write_text("--flagfile=base.flags\n--sparsity=0.97\n")
    monkeypatch.chdir("/")
    assert flags.parse([f"--flagfile={tmp_path}/flags/top.flags"]).training.epochs == 20
    assert flags.parse(["--flagfile", f"{tmp_path}/flags/top.flags"]).mask.sparsity == 0.97


def test_flagfiles_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "loop.flags").write_text("--flagfile=loop.flags\n")
    with pytest.raises(TostError, match="include each other without end"):
        flags.read_flagfile(tmp_path / "loop.flags")
    (tmp_path / "binary.flags").write_bytes(b"\xff\xfe--epochs=3")
    with pytest.raises(TostError, match="cannot be read"):
        flags.read_flagfile(tmp_path / "binary.flags")
    (tmp_path / "config.flags").write_text(flags.to_flagfile(RunConfig.make())[:-30])
    with pytest.raises(TostError, match="it is incomplete"):
        flags.read_config(tmp_path / "config.flags")


def test_differences_name_the_options_that_change_a_run():
    old, new = RunConfig.make(seed=1), RunConfig.make(seed=2, run_dir="elsewhere", data_dir="/data")
    assert flags.differences(old, new) == ["--seed was 1, now 2"]
    assert flags.differences(old, old) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sparcity=0.9"], "Unknown command line flag 'sparcity'. Did you mean: sparsity"),
        (["--epochs=1e3"], "^--epochs=1e3 is not understood: it must be a whole number$"),
        (["--seed="], "^--seed= is not understood: it must be a whole number$"),
        (["--momentum=some"], "^--momentum=some is not understood: it must be a number$"),
        (["--lr_drop_epochs=3,x"], "--lr_drop_epochs=3,x must be whole numbers"),
        (["--deterministic=maybe"], "^--deterministic=maybe is not understood: it must be true or false$"),
        (["--learning_rate=inf"], "--learning_rate is inf, it must be finite, above 0"),
        (["--flagfile=/no/such.flags"], "there is no flagfile '/no/such.flags'"),
        (["digits"], "'digits' is not a flag"),
        (["--sparsity=1.5"], "--sparsity is 1.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(TostError, match=message):
        flags.parse(arguments)


def test_a_fraction_may_be_written_as_a_percentage():
    config = flags.parse(["--sparsity=97.5%", "--label_smoothing=20%", "--validation_fraction=0.3"])
    assert config.mask.sparsity == pytest.approx(0.975) and config.recipe.label_smoothing == pytest.approx(0.2)
    assert config.data.validation_fraction == 0.3
    with pytest.raises(TostError, match="--sparsity=x%"):
        flags.parse(["--sparsity=x%"])


def test_help_says_what_the_default_recipe_sets():
    text = " ".join(flags.help_text("tost-train", "").split())
    assert "one of none, pswish, mish, dyrelu; default set by --recipe, pswish for tost" in text
    assert "which may be trained already; default set by --recipe, True for tost" in text


def test_options_are_checked_without_tensorflow():
    code = (
        "import sys, tost_tf, tost_tf.experiment.flags as flags; flags.help_text('x', 'y'); "
        "flags.parse(['--dataset=digits', '--mask=snip', '--dynamic=rigl']); "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'tf_keras', 'tensorflow_datasets')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_names_every_option():
    text = flags.help_text("tost-train", "Trains.")
    for group in all_groups().values():
        for name in group.__dataclass_fields__:
            assert f"--{name}\n" in text
    assert "--recipe\n" in text and "default, tost" in text and "at least 0 and below 1" in text


@pytest.mark.parametrize("path", FLAGFILES, ids=str)
def test_flagfiles_of_the_project_are_complete(path):
    flags.read_flagfile(path)
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert len(header) >= 3, "the command, the hardware, how long, the accuracy to expect and its source"


def test_there_are_flagfiles():
    assert len(FLAGFILES) >= 3
