"""Runs whose masks have a pattern: options, files, masks that change, and what is refused."""

import pytest

import tost_tf as tost
from tost_tf.errors import TostError
from tost_tf.experiment.flags import parse, to_flagfile
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.network import build_model
from tost_tf.experiment.stages.find_mask import search_mask
from tost_tf.files import read_json
from tost_tf.masks.search import MaskMethod
from tost_tf.registry import MASKS

CYCLES = {"cycle_fraction": 0.4, "cycle_epochs": 1, "recipe": "default"}
SMALL = {"dataset": "digits", "train_examples": 90, "batch_size": 15, "epochs": 3, "rescale_init": False, "seed": 3}


@pytest.fixture(scope="module")
def digits():
    from tost_tf.data.digits import load_digits

    return load_digits(make().data)


def make(**options) -> RunConfig:
    return RunConfig.make(**{"model": "resnet8", "width_multiplier": 0.5, **SMALL, **options})


def test_n_of_m_sets_the_sparsity_of_a_run_and_is_saved_with_it(tmp_path):
    config = make(mask_pattern="1:4", dense_layers="stem", mask="erk")
    assert config.mask.sparsity == 0.75 and config.mask_label == "erk 1:4"
    assert "erk75_1_4" in config.machine.run_dir
    (tmp_path / "config.flags").write_text(to_flagfile(config))
    assert parse([f"--flagfile={tmp_path / 'config.flags'}"]).options() == config.options()
    assert make(mask_pattern="1:4", sparsity=0.75).mask.sparsity == 0.75
    assert make(mask_pattern="1:4", mask_file="mask.npz").mask.sparsity == RunConfig.make().mask.sparsity


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mask_pattern": "2:4", "sparsity": 0.9},
            "--mask_pattern=2:4 has sparsity 0.5, which --sparsity=0.9 contradi",
        ),
        ({"mask_pattern": "4:2"}, "--mask_pattern=4:2: the mask pattern '4:2' keeps N of M"),
        ({"mask_pattern": "rows"}, "--mask_pattern=rows: unknown mask pattern 'rows'"),
        ({"mask_pattern": "2:4", "mask_scope": "layer"}, "--mask_scope=layer has no effect with --mask_pattern=2:4"),
        ({"mask_pattern": "channels", "layer_sparsity": "stem=0.3"}, "has no effect with --mask_pattern=channels"),
        ({"mask_pattern": "fan_in", "mask_shuffle": True}, "has no effect with --mask_pattern=fan_in"),
        ({"mask_pattern": "fan_in", "mask": "none"}, "--mask_pattern=fan_in has no effect with --mask=none"),
        (
            {"mask_pattern": "channels", "dynamic": "set"},
            "for masks that stay, and --dynamic=set changes them: a channel",
        ),
        ({"mask_pattern": "channels", "superpose": "caa", **CYCLES}, "and --cycle_growth=auto changes them"),
    ],
)
def test_what_contradicts_a_pattern_is_refused(options, message):
    with pytest.raises(TostError, match=message):
        make(**options)


def test_shapes_that_do_not_divide_are_named_before_the_search(digits):
    config = make(mask_pattern="2:4", mask="snip")
    with pytest.raises(
        TostError, match=r"needs multiples of 4 inputs, which stem_conv/kernel \[3, 3, 1, 8\] cannot give"
    ):
        search_mask(config, build_model(config, digits), digits, "unused")


def test_masks_that_are_given_must_have_the_pattern(digits, tmp_path):
    config = make(mask="erk", sparsity=0.7)
    model = build_model(config, digits)
    search_mask(config, model, digits, "unused").masks.save(tmp_path / "mask.npz")
    with pytest.raises(TostError, match="the mask in .*mask.npz does not have --mask_pattern=fan_in in stage1"):
        search_mask(make(mask_file=str(tmp_path / "mask.npz"), mask_pattern="fan_in"), model, digits, "unused")
    mine = MaskMethod(lambda search: search.found(tost.masks.random(search.model, sparsity=0.7)))
    with (
        MASKS.temporarily("mine", mine),
        pytest.raises(TostError, match="the mask of --mask=mine does not have --mask_"),
    ):
        search_mask(make(mask="mine", mask_pattern="fan_in"), model, digits, "unused")


def test_granet_ends_with_n_of_m(network, tmp_path):
    options = {"mask": "erk", "mask_pattern": "1:6", "dense_layers": "stem|logits"}
    changes = {"dynamic": "granet", "initial_sparsity": 0.5, "update_every": 3, "superpose": "caa"}
    result = tost.launch(RunConfig.make(model=network, **SMALL, **options, **changes, **CYCLES, run_dir=str(tmp_path)))
    directory = RunDirectory(tmp_path)
    assert read_json(directory.mask_report)["pattern"] == "3:6"
    assert tost.Masks.load(directory.mask)["middle/kernel"].mean() == 0.5
    assert tost.Masks.load(directory.final_mask)["middle/kernel"].mean() == pytest.approx(1 / 6)
    assert (result["mask_pattern"], result["mask"]) == ("1:6", "erk 1:6")
