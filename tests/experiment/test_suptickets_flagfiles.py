"""The flagfiles of Sup-tickets, and what goes wrong with its options."""

from pathlib import Path

import pytest

from tost_tf.dynamic.growth import GRADIENT, RANDOM
from tost_tf.dynamic.method import DynamicMethod
from tost_tf.errors import TostError
from tost_tf.experiment.flags import parse, read_config, read_flagfile, to_flagfile
from tost_tf.experiment.options import RunConfig
from tost_tf.registry import DYNAMIC_METHODS

FOLDER = Path("flags/suptickets")
DYNAMIC = {"mask": "erk", "dynamic": "rigl"}
CYCLES = {"mask": "erk", "superpose": "caa"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("cifar10*.flags")), ids=lambda path: path.stem)
def test_settings_are_those_of_the_released_code(path):
    config = read_flagfile(path)
    training, dynamic, superpose = config.training, config.dynamic, config.superpose
    assert (training.epochs, training.weight_decay, training.learning_rate) == (250, 5e-4, 0.1)
    assert (dynamic.update_every, dynamic.drop_fraction, dynamic.drop_schedule) == (1000, 0.5, "constant")
    assert (superpose.cycles(250), superpose.ordinary_epochs(250), superpose.cycle_epochs) == (3, 226, 8)
    assert (superpose.cycle_low_learning_rate, superpose.cycle_high_learning_rate) == (0.001, 0.005)
    assert training.lr_drop_epochs == (113, 169)  # at 1/2 and 3/4 of the epochs before the cycles
    assert config.recipe.passing_ghost_epochs in (0, 113)
    assert path.read_text().splitlines()[0] == f"# tost-train --flagfile={path}"


def test_weights_grow_as_the_method_grows_them():
    growths = {path.stem: read_flagfile(path).cycle_growth for path in FOLDER.glob("cifar10*.flags")}
    assert growths.pop("cifar10_resnet32_set95") is RANDOM and set(growths.values()) == {GRADIENT}
    assert RunConfig.make(**CYCLES).cycle_growth is GRADIENT
    assert RunConfig.make(**CYCLES, dynamic="set", cycle_growth="none").cycle_growth is None
    assert RunConfig.make(**CYCLES, dynamic="set", cycle_growth="gradient").cycle_growth is GRADIENT


def test_a_method_of_the_user_is_known_by_its_properties():
    with DYNAMIC_METHODS.temporarily("mine", DynamicMethod(RANDOM, prunes=True)):
        config = RunConfig.make(mask="erk", dynamic="mine", initial_sparsity=0.3, superpose="caa")
        assert config.dynamic.prunes and config.cycle_growth is RANDOM and not config.keeps_gradients


@pytest.mark.parametrize(
    ("options", "ordinary", "end", "last"),
    [
        # 0.58 of 100 epochs of 391 steps, which in floating point are 22677.99...
        ({"dynamic_end_fraction": 0.58, "update_every": 391}, 100, 58 * 391, 57 * 391),
        ({"dynamic_end_fraction": 0.75, "update_every": 100}, 100, 29325, 29300),
        ({"dynamic_end_fraction": 1.0, "update_every": 391}, 90, 90 * 391, 89 * 391),  # the last epoch trains what grew
        ({"dynamic_end_fraction": 1.0, "update_every": 1}, 90, 90 * 391, 90 * 391 - 1),
    ],
)
def test_last_update_is_the_last_before_the_masks_stay(options, ordinary, end, last):
    dynamic = RunConfig.make(**DYNAMIC, **options).dynamic
    assert dynamic.end_step(100, ordinary, 391) == end
    assert dynamic.last_update(100, ordinary, 391) == last


@pytest.mark.parametrize("every", [9, 10])
def test_a_phase_too_short_for_an_update_is_refused(every):
    dynamic = RunConfig.make(**DYNAMIC, update_every=every).dynamic
    with pytest.raises(
        TostError, match=f"update_every={every} leaves no update: masks change only in the first 9 steps"
    ):
        dynamic.last_update(2, 2, 6)
    assert RunConfig.make(**DYNAMIC, update_every=8).dynamic.last_update(2, 2, 6) == 8


def test_gradients_are_kept_only_if_they_are_needed():
    assert not RunConfig.make(mask="erk").keeps_gradients
    assert not RunConfig.make(mask="erk", dynamic="set", superpose="caa").keeps_gradients
    assert RunConfig.make(**DYNAMIC).keeps_gradients and RunConfig.make(**CYCLES).keeps_gradients
    assert not RunConfig.make(**CYCLES, cycle_growth="random").keeps_gradients
    assert not RunConfig.make(**CYCLES, cycle_fraction=0.0).keeps_gradients


def test_cycles_fill_their_fraction_and_the_rest_is_ordinary():
    cycles = {epochs: RunConfig.make(**CYCLES, epochs=epochs).superpose.cycles(epochs) for epochs in (80, 159, 160)}
    assert cycles == {80: 1, 159: 1, 160: 2}
    assert RunConfig.make(**CYCLES, epochs=159).superpose.ordinary_epochs(159) == 151


def test_label_and_folder_have_the_options():
    config = RunConfig.make(**DYNAMIC, superpose="caa")
    assert config.recipe_label == "tost dynamic=rigl superpose=caa"
    assert config.machine.run_dir.endswith("tost_dynamic=rigl_superpose=caa_seed0")


def test_written_flags_repeat_it(tmp_path):
    config = RunConfig.make(**DYNAMIC, superpose="cima", cima_factor=0.3, update_every=7)
    (tmp_path / "config.flags").write_text(to_flagfile(config))
    assert read_config(tmp_path / "config.flags") == config
    assert parse([f"--flagfile={tmp_path}/config.flags"]) == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamic": "rigl", "mask": "none"}, "--dynamic=rigl changes a mask, and --mask=none has none"),
        ({"superpose": "caa", "mask": "none"}, "--mask=none has none"),
        ({"dynamic": "rgl"}, "unknown --dynamic 'rgl': did you mean 'rigl'"),
        ({"update_every": 7}, "--update_every=7 has no effect with --dynamic=none"),
        ({"cycle_epochs": 3}, "--cycle_epochs=3 has no effect with --superpose=none"),
        ({"drop_fraction": 1.2, **DYNAMIC}, "--drop_fraction is 1.2, it must be above 0 and at most 1"),
        ({"sparsity": 0.0, **DYNAMIC}, "--sparsity=0 leaves --dynamic=rigl no place where a weight could grow"),
        (
            {**CYCLES, "cima_factor": 0.9},
            "--cima_factor=0.9 has no effect with --superpose=caa",
        ),
        ({**CYCLES, "cycle_growth": "none", "cycle_drop_fraction": 0.9}, "has no effect with --cycle_growth=none"),
        ({**CYCLES, "cycle_low_learning_rate": 0.01}, "=0.01 is above --cycle_high_learning_rate=0.005"),
        ({**CYCLES, "epochs": 80, "ghost_end_epoch": 72}, "--ghost_end_epoch=72 must be below that"),
        ({**DYNAMIC, "initial_sparsity": 0.3}, "--initial_sparsity=0.3 has no effect with --dynamic=rigl"),
        ({"dynamic": "granet", "sparsity": 0.4}, "--initial_sparsity=0.5 is above --sparsity=0.4"),
        ({"dynamic": "granet", "mask": "lottery"}, "granet starts from a mask it finds at --initial_sparsity"),
        ({**CYCLES, "epochs": 60}, "is 6 epochs, fewer than cycle_epochs=8: no ticket would be made"),
        ({**CYCLES, "epochs": 80, "lr_drop_epochs": (40, 75)}, "--lr_drop_epochs has 75, but from epoch 72 on"),
        ({**CYCLES, "epochs": 80, "ghost_end_epoch": 75}, "its cycles begin after epoch 72: --ghost_end_epoch=75"),
        ({**CYCLES, "ghost_end_epoch": -1}, "averages networks trained without ghosts"),
    ],
)
def test_impossible_options_are_explained_in_one_sentence(options, message):
    with pytest.raises(TostError) as raised:
        RunConfig.make(**options)
    assert message in str(raised.value)
