import numpy as np
import pytest

import tost_tf as tost
from tost_tf.errors import TostError
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.layer_sparsity import Shares, parsed_layer_sparsity, shares

SIZES = {  # 269 together
    "stem/kernel": 54,
    "conv1/kernel": 135,
    "conv2/depthwise_kernel": 45,
    "shortcut/kernel": 15,
    "logits/kernel": 20,
}
BY_HAND = {"stem/kernel": 0.43, "^conv": 0.8}
KEPT = {"stem/kernel": 31, "conv1/kernel": 27, "conv2/depthwise_kernel": 9}  # 0.57·54, 0.2·135, 0.2·45
LEFT = 81 - 67  # round(0.3·269) is 81


def counts(masks):
    return {path: int(mask.sum()) for path, mask in masks.items()}


@pytest.mark.parametrize("name", ["random", "magnitude", "snip", "grasp", "synflow", "erk"])
def test_layers_have_theirs_and_the_others_what_is_left(small_model, small_images, name):
    data = {"dataset": [small_images]} if name in ("snip", "grasp") else {}
    found = counts(getattr(tost.masks, name)(small_model, sparsity=0.7, layer_sparsity=BY_HAND, **data))
    assert {path: found[path] for path in KEPT} == KEPT
    assert found["shortcut/kernel"] + found["logits/kernel"] == LEFT


@pytest.mark.parametrize("name", ["random", "synflow"])
def test_others_by_layer(small_model, name):
    found = counts(getattr(tost.masks, name)(small_model, sparsity=0.7, scope="layer", layer_sparsity=BY_HAND))
    assert found == KEPT | {"shortcut/kernel": 6, "logits/kernel": 8}  # 14 of 35 each


def test_the_highest_scores_stay_in_each_share(small_model):
    masks = tost.masks.magnitude(small_model, sparsity=0.7, layer_sparsity=BY_HAND)
    weight = np.abs(small_model.get_layer("conv1").kernel.numpy())
    assert weight[masks["conv1/kernel"] == 1].min() > weight[masks["conv1/kernel"] == 0].max()


def test_dense_by_hand_counts_and_dense_layers_do_not(small_model):
    masks = tost.masks.random(small_model, sparsity=0.7, layer_sparsity={"stem": 0})
    assert masks.kept == 81 and masks["stem/kernel"].all()
    masks = tost.masks.random(small_model, sparsity=0.7, dense_layers="stem", layer_sparsity={"conv1": 0.9})
    assert masks.kept == 54 + kept_count(215, 0.7) and counts(masks)["conv1/kernel"] == kept_count(135, 0.9)
    with pytest.raises(TostError, match="layer_sparsity has 'stem', which matches no layer that is pruned"):
        tost.masks.random(small_model, sparsity=0.7, dense_layers="stem", layer_sparsity={"stem": 0.9})


def test_the_first_that_matches_counts():
    found = shares(SIZES, 0.5, {"conv1": 0.3, "conv": 0.9})
    assert found.own == {"conv1/kernel": 0.3, "conv2/depthwise_kernel": 0.9} and found.of("stem/kernel") == found.rest
    with pytest.raises(TostError, match="'conv1', which matches no layer that an earlier one does not"):
        shares(SIZES, 0.7, {"conv": 0.3, "conv1": 0.9})
    assert shares(SIZES, 0.7, {}) == Shares({}, 0.7)


@pytest.mark.parametrize(
    ("by_hand", "message"),
    [
        ({"no": 0.3}, "'no', which matches no layer that is pruned"),
        ({"logits": 0.98}, "at layer_sparsity 0.98 no weight would be left in logits/kernel"),
        ({"conv": 0.3}, "the 3 others, with 89 weights, would have to keep -44"),
        ({"conv": 0.98}, "sparsity 0.3 keeps 188 of 269 weights, of which 4 are in layers that layer_sparsity names"),
        ({".": 0.3}, "makes sparsity 0.304833 of all together, not 0.7: give that"),
    ],
)
def test_contradictions_are_refused(by_hand, message):
    with pytest.raises(TostError, match=message) as error:
        shares(SIZES, 0.3 if by_hand == {"conv": 0.98} else 0.7, by_hand)
    assert len(str(error.value)) < 500


def test_every_layer_by_hand():
    assert shares(SIZES, 0.304833, {".": 0.3}).own == dict.fromkeys(SIZES, 0.3)


def test_sparsities_are_not_given_as_the_sparsity(small_model):
    with pytest.raises(TostError, match="sparsity is {'stem': 0.3}, it must be one number: .* with layer_sparsity"):
        tost.masks.random(small_model, sparsity={"stem": 0.3})


@pytest.mark.parametrize("value", [1.0, -0.1, float("nan")])
def test_sparsity_out_of_range_is_refused(small_model, value):
    with pytest.raises(TostError, match="the sparsity of 'stem' is .*, it must be at least 0 and below 1"):
        tost.masks.random(small_model, sparsity=0.7, layer_sparsity={"stem": value})


def test_text_of_a_flag():
    assert parsed_layer_sparsity("stage3.*=0.99,stem=0") == {"stage3.*": 0.99, "stem": 0.0}
    assert parsed_layer_sparsity("conv\\d{1,2}=0.9, logits = .5") == {"conv\\d{1,2}": 0.9, "logits": 0.5}
    assert parsed_layer_sparsity("stem=35%,logits=7.5%") == {"stem": 0.35, "logits": 0.075}
    assert parsed_layer_sparsity("") == {}
    for text, message in (
        ("stem", "'stem' does not have the form PATTERN=SPARSITY"),
        ("stem=0.3,logits", "'logits' does not have the form"),
        ("stem=much", "'stem' has the sparsity 'much', which is not a number"),
        ("stem=0.3,stem=0.5", "'stem' occurs twice"),
        ("(=0.3", r"'\(' is not a regular expression"),
        ("stem=1", "the sparsity of 'stem' is 1, it must be"),
    ):
        with pytest.raises(TostError, match=message):
            parsed_layer_sparsity(text)


def test_text_in_python(small_model):
    text, mapping = "stem=0.3,logits=50%", {"stem": 0.3, "logits": 0.5}
    one, other = (tost.masks.random(small_model, sparsity=0.7, layer_sparsity=given) for given in (text, mapping))
    assert one == other
    with pytest.raises(TostError, match=r"dense_layers='\(' is not a regular expression"):
        tost.masks.random(small_model, sparsity=0.7, dense_layers="(")
