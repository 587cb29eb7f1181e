"""That the options of a mask reach the search, and what does not decide it does not."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.config.run_config import RunConfig
from tost_tf.data.pipeline import balanced_batches
from tost_tf.job import mask_search
from tost_tf.job.mask_search import find_mask, search_mask
from tost_tf.registry import MASKS
from tost_tf.train.network import build_model
from tost_tf.train.run_directory import RunDirectory


def make(**options):
    small = {"dataset": "digits", "model": "resnet20", "width_multiplier": 0.25, "sparsity": 0.7, "epochs": 4}
    return RunConfig.make(**(small | options))


@pytest.fixture(scope="module")
def digits():
    from tost_tf.data.digits import load_digits

    return load_digits(make().data)


def search(config, data, folder="unused"):
    return search_mask(config, build_model(config, data), data, folder)


def test_batch_size_of_training_does_not_matter(digits):
    one, other = (search(make(mask="snip", batch_size=size), digits) for size in (24, 100))
    assert one == other


def test_snip_looks_at_a_balanced_sample(digits):
    config = make(mask="snip", mask_examples_per_class=4, seed=3)
    sample = balanced_batches(digits, 4, 3)
    assert search(config, digits) == tost.masks.snip(build_model(config, digits), sample, sparsity=0.7)
    assert search(config, digits) != search(make(mask="snip", mask_examples_per_class=8, seed=3), digits)


def test_options_reach_the_function_that_takes_them(digits, monkeypatch):
    seen = {}

    def mine(model, dataset=None, *, sparsity, scope, seed, dense_layers, iterations):
        seen.update(sparsity=sparsity, scope=scope, seed=seed, dense_layers=dense_layers, iterations=iterations)
        return tost.masks.random(model, sparsity=sparsity)

    monkeypatch.setitem(MASKS._entries, "erk", mine)
    search(make(mask="erk", mask_scope="layer", seed=9, dense_layers="stem", synflow_iterations=7), digits)
    assert seen == {"sparsity": 0.7, "scope": "layer", "seed": 9, "dense_layers": "stem", "iterations": 7}


def test_shuffled_on_request(digits):
    plain, shuffled = (search(make(mask="magnitude", mask_shuffle=flag), digits) for flag in (False, True))
    assert shuffled == plain.shuffled(0) and shuffled != plain


def test_options_of_a_ticket_reach_its_plan(digits, monkeypatch, tmp_path):
    plans = []

    class Search:
        def __init__(self, plan, train, folder):
            plans.append((plan, folder))

        def find(self, model):
            return tost.masks.random(model, sparsity=0.7)

    monkeypatch.setattr(mask_search, "LotterySearch", Search)
    options = {"lottery_epochs": 9, "lottery_fraction": 0.3, "rewind_epoch": 2, "lottery_mode": "lr_rewind"}
    search(make(mask="lottery", dense_layers="x", **options), digits, tmp_path)
    plan, folder = plans[0]
    assert (plan.sparsity, plan.epochs, plan.fraction, plan.rewind_epoch) == (0.7, 9, 0.3, 2)
    assert (plan.mode, plan.dense_layers, folder) == ("lr_rewind", "x", tmp_path)


def test_found_mask_is_kept_with_its_report_and_collapse_is_told(digits, tmp_path, caplog):
    config = make(mask="magnitude", sparsity=0.99)
    directory = RunDirectory(tmp_path)
    model = build_model(config, digits)
    model.get_layer("stage2_block1_conv1").kernel.assign(np.zeros((3, 3, 4, 8)))
    found = find_mask(config, model, digits, directory)
    assert found.collapsed_layers and found.collapsed_layers[0] == "stage2_block1_conv1/kernel"
    assert "no weight is left in stage2_block1_conv1/kernel" in caplog.text
    again = find_mask(config, model, digits, directory)
    assert again.masks == found.masks and again.seconds == found.seconds
