"""That the options of a mask reach the search, and what does not decide it does not."""

import dataclasses

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.data.pipeline import balanced_batches
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.network import build_model
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages import find_mask
from tost_tf.experiment.stages.find_mask import search_mask
from tost_tf.experiment.stages.stage import RunNetwork
from tost_tf.files import read_json
from tost_tf.graph.weights import save_weights
from tost_tf.masks.lottery import LotteryOptions
from tost_tf.masks.search import FoundMask, MaskMethod, MaskSearch
from tost_tf.options import option
from tost_tf.registry import MASKS


def make(**options):
    small = {"dataset": "digits", "model": "resnet8", "width_multiplier": 0.25, "sparsity": 0.7, "epochs": 4}
    return RunConfig.make(**(small | options))


@pytest.fixture(scope="module")
def digits():
    from tost_tf.data.digits import load_digits

    return load_digits(make().data)


def search(config, data, folder="unused", model=None):
    return search_mask(config, model or build_model(config, data), data, folder).masks


def test_batch_size_of_training_does_not_matter(digits):
    one, other = (search(make(mask="snip", batch_size=size), digits) for size in (24, 100))
    assert one == other


def test_snip_uses_a_balanced_sample(digits):
    config = make(mask="snip", mask_examples_per_class=4, seed=3)
    sample = balanced_batches(digits, 4, 3)
    assert search(config, digits) == tost.masks.snip(build_model(config, digits), sample, sparsity=0.7)
    assert search(config, digits) != search(make(mask="snip", mask_examples_per_class=8, seed=3), digits)


def test_method_of_the_user_gets_the_search_and_its_options(digits):
    @dataclasses.dataclass(frozen=True)
    class MyOptions:
        """Mine."""

        my_layers: int = option(3, "how many layers", minimum=1)

    seen = []

    def mine(search, options):
        seen.append((search.sparsity, search.scope, search.seed, search.dense_layers, options.my_layers))
        images, labels = search.batches(2)[0]
        assert len(images) == 20 and labels.shape == (20, 10)
        model = search.model
        weights = [0.3 * weight for weight in model.get_weights()]
        return FoundMask(tost.masks.random(model, sparsity=0.7), weights)

    with MASKS.temporarily("mine", MaskMethod(mine, MyOptions)):
        config = make(mask="mine", mask_scope="layer", seed=9, dense_layers="stem", my_layers=7)
        model = build_model(config, digits)
        found = search_mask(config, model, digits, "unused")
        with pytest.raises(TostError, match="--my_layers=7 has no effect with --mask=random: .* use --mask=mine"):
            make(my_layers=7)
    assert seen == [(0.7, "layer", 9, "stem", 7)]
    np.testing.assert_array_equal(found.weights[0], 0.3 * model.get_weights()[0])


def test_sparsities_by_hand_are_those_of_the_mask(digits):
    masks = search(make(mask="erk", sparsity=0.9, layer_sparsity="stage3.*=0.95,stem=0"), digits)
    assert masks.kept == round(0.1 * masks.size) and masks["stem_conv/kernel"].all()
    in_stage = {path: mask for path, mask in masks.items() if path.startswith("stage3")}
    assert all(mask.sum() == round(0.05 * mask.size) for mask in in_stage.values()) and len(in_stage) == 2

    def mine(search):
        return FoundMask(tost.masks.random(search.model, sparsity=0.9))

    not_heeded = pytest.raises(TostError, match="--mask=mine ignores --layer_sparsity")
    with MASKS.temporarily("mine", MaskMethod(mine)), not_heeded:
        search(make(mask="mine", sparsity=0.9, layer_sparsity="stem=0"), digits)


def test_shuffled_on_request(digits):
    plain, shuffled = (search(make(mask="magnitude", mask_shuffle=flag), digits) for flag in (False, True))
    assert shuffled == plain.shuffled(0) and shuffled != plain


def test_options_of_a_ticket_reach_its_search(digits, tmp_path):
    trained = []

    def train(sparse, first, last, epochs):
        trained.append((first, last, epochs))
        return 0.5

    options = LotteryOptions(lottery_epochs=9, lottery_fraction=0.4, rewind_epoch=2, lottery_mode="rewind")
    config = make(mask="lottery")
    search = MaskSearch(build_model(config, digits), 0.7, dense_layers="logits", train=train, folder=tmp_path)
    found = MASKS["lottery"].find(search, options)
    assert trained == [(0, 2, 9), (2, 9, 9), (2, 9, 9), (2, 9, 9)]  # 0.6, 0.36, and what is missing to 0.3
    assert found.masks["logits/kernel"].all() and (tmp_path / "mask-3.npz").exists()
    assert all(np.array_equal(a, b) for a, b in zip(found.weights, search.model.get_weights(), strict=True))


def test_found_mask_is_saved_with_its_report_and_collapse_is_reported(digits, tmp_path, caplog):
    config = make(mask="magnitude", sparsity=0.99)
    directory = RunDirectory(tmp_path)
    model = build_model(config, digits)
    model.get_layer("stage2_block1_conv1").kernel.assign(np.zeros((3, 3, 4, 8)))
    run, network = Run(config, digits, directory), RunNetwork(model)
    assert not find_mask.STAGE.is_done(run) and find_mask.STAGE.is_wanted(config)
    find_mask.compute(run, network)
    assert find_mask.STAGE.is_done(run) and directory.read_mask_seconds() > 0
    find_mask.read(run, network)
    assert network.masks == search(config, digits, model=model)
    assert network.masks.collapsed_layers[0] == "stage2_block1_conv1/kernel"
    assert "layer(s) of resnet8, stage2_block1_conv1/kernel" in caplog.text


def test_network_that_is_cut_is_named(digits, tmp_path, caplog):
    config, directory = make(mask="magnitude", sparsity=0.9), RunDirectory(tmp_path)
    model = build_model(config, digits)
    run = Run(config, digits, directory)
    find_mask.compute(run, RunNetwork(model))
    assert read_json(directory.mask_report)["logits_depend_on_input"] is True
    find_mask.read(run, RunNetwork(model))
    assert "cannot learn" not in caplog.text
    masks = dict(tost.Masks.load(directory.mask))
    tost.Masks(masks | {"stem_conv/kernel": 0 * masks["stem_conv/kernel"]}).save(tmp_path / "cut.npz")
    config = make(mask_file=str(tmp_path / "cut.npz"), sparsity=0.95)
    run = Run(config, digits, directory)
    find_mask.compute(run, RunNetwork(model))
    assert read_json(directory.mask_report)["logits_depend_on_input"] is False
    find_mask.read(run, RunNetwork(model))
    assert "no path of kept weights leads from the input to the logits" in caplog.text


def test_ticket_of_another_data_set(digits, tmp_path):
    """Its network had 7 classes: the classifier starts anew, everything else is the ticket's."""
    source = tost.models.build("resnet8", (8, 8, 1), 7, 0.25)
    masks = tost.masks.random(source, sparsity=0.8, seed=4)
    masks.save(tmp_path / "ticket.npz")
    save_weights(source, tmp_path / "weights.npz")
    files = {"mask_file": str(tmp_path / "ticket.npz")}
    with pytest.raises(TostError, match=r"has shape \[16, 7\] instead of \[16, 10\] .*not pruned with new_layers"):
        search(make(sparsity=0.95, **files), digits)
    files["initial_weights"] = str(tmp_path / "weights.npz")
    with pytest.raises(TostError, match="name layers that should be initialised with new_layers"):
        build_model(make(sparsity=0.95, **files), digits)
    config = make(sparsity=0.95, new_layers="^logits$", **files)
    model = build_model(config, digits)
    found = search(config, digits, model=model)
    fresh = build_model(make(), digits)
    assert found["logits/kernel"].shape == (16, 10) and found["logits/kernel"].all()
    assert all(np.array_equal(found[path], masks[path]) for path in masks if path != "logits/kernel")
    assert np.array_equal(model.get_layer("logits").kernel, fresh.get_layer("logits").kernel)
    assert np.array_equal(model.get_layer("stem_conv").kernel, source.get_layer("stem_conv").kernel)
    with pytest.raises(TostError, match="new_layers='hat' matches no layer"):
        build_model(make(sparsity=0.95, new_layers="hat", **files), digits)


def test_zeros_of_brought_weights_stay_pruned_and_are_told(digits, tmp_path, caplog):
    model = build_model(make(), digits)
    masks = tost.masks.random(model, sparsity=0.6, seed=5)
    model = tost.strip(tost.sparsify(model, masks))
    path = str(tmp_path / "weights.npz")
    save_weights(model, path)
    assert search(make(mask="zeros", sparsity=0.95, initial_weights=path), digits) == masks
    found = search(make(initial_weights=path, sparsity=0.7), digits)
    assert found.kept == round(0.3 * masks.size) and all(np.all(found[name] <= masks[name]) for name in masks)
    assert "59.99% of the weights of resnet8 are zero and count as pruned already" in caplog.text
    found = search(make(initial_weights=path, keep_zeros=False), digits)
    assert any(np.any(found[name] > masks[name]) for name in masks)
