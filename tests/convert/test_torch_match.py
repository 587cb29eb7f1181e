import pytest

from tost_tf.convert.torch_match import match
from tost_tf.errors import TostError

SQUARE = ("kernel", 6, 6)
WIDE = ("kernel", 6, 9)


def pairs(theirs, ours, kind=SQUARE, names=None):
    return match(dict.fromkeys(theirs, kind), dict.fromkeys(ours, kind), names or {})


def test_same_names_come_before_any_order():
    names = ("input", "hidden", "body", "output")
    assert pairs(sorted(names), names) == {name: name for name in names}
    assert pairs(["layer1.0.conv2", "layer1.0.conv1"], ["layer1_0_conv1", "layer1_0_conv2"]) == {
        "layer1_0_conv1": "layer1.0.conv1",
        "layer1_0_conv2": "layer1.0.conv2",
    }


def test_names_that_differ_by_numbers_are_in_their_order():
    found = pairs(["features.10", "features.3", "features.7"], ["conv2d", "conv2d_1", "conv2d_2"])
    assert list(found.values()) == ["features.3", "features.7", "features.10"]


def test_modules_in_a_sequence_are_matched_in_order():
    theirs, ours = ["model.10.0", "model.2.3", "model.2.0"], ["stem_bn", "block1_depthwise_bn", "block1_pointwise_bn"]
    assert list(pairs(theirs, ours).values()) == ["model.2.0", "model.2.3", "model.10.0"]
    with pytest.raises(TostError, match="by name or order, and"):
        pairs(["model.2", "other.3", "model.10"], ours)
    with pytest.raises(TostError, match="by name or order, and"):
        pairs(["layer1.0.bn1", "layer1.0.bn2", "layer1.1.bn1"], ours)


def test_shortcut_of_a_bottleneck_is_not_its_last_convolution():
    """Both have one shape, and "downsample" comes after "conv3" in the alphabet, whatever the order of the layers."""
    theirs = ["layer1.0.conv3", "layer1.0.downsample.0", "layer1.1.conv3"]
    ours = ["stage1_block1_shortcut_conv", "stage1_block1_conv3", "stage1_block2_conv3"]
    assert pairs(theirs, ours) == {
        "stage1_block1_shortcut_conv": "layer1.0.downsample.0",
        "stage1_block1_conv3": "layer1.0.conv3",
        "stage1_block2_conv3": "layer1.1.conv3",
    }


def test_stem_is_what_stands_alone():
    theirs = ["bn1", "layer1.0.bn1", "layer1.0.bn2"]
    ours = ["stem_bn", "stage1_block1_bn1", "stage1_block1_bn2"]
    assert list(pairs(theirs, ours).values()) == theirs
    plain = ["batch_normalization", "batch_normalization_1", "batch_normalization_2"]
    with pytest.raises(TostError, match="by name or order, and"):
        pairs(theirs, plain)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (("input", "hidden", "body", "output"), ("dense", "dense_1", "dense_2", "dense_3")),
        (("first", "second"), ("dense", "dense_1")),
        (("layer1.0.conv3", "layer1.0.downsample.0"), ("conv2_block1_0_conv", "conv2_block1_3_conv")),
        (("blocks.0", "features.0"), ("conv2d", "conv2d_1")),  # the alphabet says nothing
        (("conv1", "block1.conv"), ("conv2d", "conv2d_1")),
        (("fc1", "fc2"), ("dense_9", "dense_8")),  # the numbers here say otherwise than the order of the layers
    ],
)
def test_ambiguous_names_and_orders_are_refused(theirs, ours):
    with pytest.raises(TostError, match="in the model by name or order, and they have the same shape") as error:
        pairs(theirs, ours)
    assert len(str(error.value)) < 500
    given = dict(zip(theirs, ours, strict=True))
    assert pairs(theirs, ours, names=given) == {path: name for name, path in given.items()}


def test_name_map_leaves_the_rest_to_names_and_order():
    found = pairs(["fc1", "fc2", "odd"], ["dense", "dense_1", "dense_2"], names={"odd": "dense_1"})
    assert found == {"dense": "fc1", "dense_1": "odd", "dense_2": "fc2"}
    with pytest.raises(TostError, match="the name map gives dense both fc1 and fc2"):
        pairs(["fc1", "fc2"], ["dense", "dense_1"], names={"fc1": "dense", "fc2": "dense"})


def test_order_that_contradicts_the_shapes_is_refused():
    theirs = {"layer.0": SQUARE, "layer.1": WIDE, "layer.2": SQUARE}
    ours = {"dense": SQUARE, "dense_1": SQUARE, "dense_2": WIDE}
    with pytest.raises(TostError, match="by shape layer.1 would be dense_2 and layer.2 would be dense_1"):
        match(theirs, ours, {})
    row = {name.replace("layer", "features"): kind for name, kind in theirs.items()}
    with pytest.raises(TostError, match="their order contradicts that"):
        match(row, {"stem": SQUARE, "body": SQUARE, "logits": WIDE}, {})
    assert match(theirs, {"dense": SQUARE, "dense_1": WIDE, "dense_2": SQUARE}, {}) == {
        "dense": "layer.0",
        "dense_1": "layer.1",
        "dense_2": "layer.2",
    }


def test_same_name_of_another_shape_is_refused():
    with pytest.raises(TostError, match=r"conv1 in the file would have the shape \[6, 9\] here, and the layer of that"):
        match({"conv1": WIDE, "conv2": SQUARE}, {"conv1": SQUARE, "conv2": WIDE}, {})


def test_only_kinds_that_no_layer_has_may_be_left_over():
    theirs, ours = {"conv1": SQUARE, "fc": WIDE}, {"conv1": SQUARE}
    with pytest.raises(TostError, match=r"shape \[6, 9\]: 1 in the file \(fc\), 0 in the model \(none\)"):
        match(theirs, ours, {})
    assert match(theirs, ours, {}, spare=1) == {"conv1": "conv1"}
    with pytest.raises(
        TostError, match=r"0 in the file .*\(fc\); name layers that are not in the file with dense_layers"
    ):
        match({"conv1": SQUARE}, theirs, {})
    with pytest.raises(TostError, match="2 in the file"):
        match({"a": SQUARE, "b": SQUARE}, {"c": SQUARE}, {}, spare=1)
