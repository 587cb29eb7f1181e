import ml_dtypes
import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.convert.torch_masks import from_torch, masks_from_torch
from tost_tf.errors import TostError
from tost_tf.masks.masks import Masks

GENERATOR = np.random.default_rng(2)


def random_mask(*shape):
    return GENERATOR.integers(0, 2, shape)


SHAPES = {
    "stem/kernel": (3, 3, 2, 4),
    "block1/kernel": (3, 3, 4, 4),
    "block2/kernel": (3, 3, 4, 4),
    "depthwise/depthwise_kernel": (3, 3, 4, 2),
    "logits/kernel": (8, 10),
}


@pytest.fixture
def arrays():
    """As PyTorch saves them; safetensors gives no order, so the names must."""
    return {
        "layer10.conv.weight_mask": random_mask(4, 4, 3, 3),
        "layer2.conv.weight_mask": random_mask(4, 4, 3, 3),
        "conv1.weight_mask": random_mask(4, 2, 3, 3),
        "fc.weight_mask": random_mask(10, 8),
        "dw.weight_mask": random_mask(8, 1, 3, 3),
        "fc.bias": np.ones(10),
    }


def test_layouts_and_order(arrays):
    masks = from_torch(arrays, SHAPES)
    assert list(masks) == list(SHAPES)
    for path, name in (("stem", "conv1"), ("block1", "layer2.conv"), ("block2", "layer10.conv")):
        expected = arrays[f"{name}.weight_mask"]
        assert masks[f"{path}/kernel"][2, 1, 0, 3] == expected[3, 0, 2, 1]
        np.testing.assert_array_equal(masks[f"{path}/kernel"], np.moveaxis(expected, (0, 1), (3, 2)))
    np.testing.assert_array_equal(masks["logits/kernel"], arrays["fc.weight_mask"].T)
    # PyTorch's output channel c·2 + m is multiplier m of channel c.
    for channel, multiplier in ((0, 0), (1, 0), (3, 1)):
        np.testing.assert_array_equal(
            masks["depthwise/depthwise_kernel"][:, :, channel, multiplier],
            arrays["dw.weight_mask"][2 * channel + multiplier, 0],
        )


def test_name_map_decides(arrays):
    names = {"layer10.conv.weight_mask": "block1/kernel"}
    masks = from_torch(arrays, SHAPES, names)
    np.testing.assert_array_equal(masks["block1/kernel"], arrays["layer10.conv.weight_mask"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(masks["block2/kernel"], arrays["layer2.conv.weight_mask"].transpose(2, 3, 1, 0))


def test_ambiguity_is_refused_and_shown(arrays):
    del arrays["layer2.conv.weight_mask"]
    with pytest.raises(TostError) as error:
        from_torch(arrays, SHAPES)
    assert "shape [3, 3, 4, 4]: 1 in the file (layer10.conv), 2 in the model (block1, block2)" in str(error.value)
    arrays["layer2.conv.weight_mask"] = random_mask(4, 4, 3, 3)
    arrays["extra.weight_mask"] = random_mask(7, 7)
    with pytest.raises(TostError, match=r"shape \[7, 7\]: 1 in the file \(extra\), 0 in the model \(none\)"):
        from_torch(arrays, SHAPES)


def test_wrong_maps_are_refused(arrays):
    with pytest.raises(TostError, match="the name map has no.such, which neither"):
        from_torch(arrays, SHAPES, {"no.such": "stem/kernel"})
    with pytest.raises(TostError, match=r"fc would have the shape \[8, 10\] here, which is not that of stem"):
        from_torch(arrays, SHAPES, {"fc.weight_mask": "stem/kernel"})


def test_state_dict_of_a_pruned_network(arrays):
    """What is trained stands beside the masks; a layer without a mask was not pruned."""
    state = {f"module.{name.replace('_mask', '_orig')}": 0.3 - array for name, array in arrays.items()}
    state |= {f"module.{name}": array for name, array in arrays.items() if "fc" not in name}
    state |= {"module.bn.weight": np.zeros(4), "module.bn.running_mean": np.zeros(4), "module.fc.bias": np.zeros(10)}
    state["module.fc.weight"] = state.pop("module.fc.weight_orig")
    state["module.bn.num_batches_tracked"] = np.array(7)
    lines = []
    masks = from_torch(state, SHAPES, say=lines.append)
    masked = {path: mask for path, mask in from_torch(arrays, SHAPES).items() if path != "logits/kernel"}
    assert all(np.array_equal(masks[path], mask) for path, mask in masked.items()) and masks["logits/kernel"].all()
    assert "module.layer2.conv.weight_mask -> block1/kernel" in lines
    assert "module.fc.weight -> logits/kernel (no mask in the file: stays dense)" in lines
    # With or without what DataParallel puts before it.
    for name in ("layer10.conv.weight_mask", "module.layer10.conv.weight_mask", "layer10.conv"):
        swapped = from_torch(state, SHAPES, {name: "block1/kernel"})
        assert np.array_equal(swapped["block1/kernel"], masks["block2/kernel"])


def test_zeros_of_sparse_weights_are_the_mask(arrays):
    weights = {name.replace("_mask", ""): array * GENERATOR.normal(size=array.shape) for name, array in arrays.items()}
    weights["bn.running_mean"] = np.zeros(4)
    assert from_torch(weights, SHAPES) == from_torch(arrays, SHAPES)
    dense = {name: array + (array == 0) for name, array in weights.items()}
    with pytest.raises(TostError, match="the file has neither masks nor weights that are zero"):
        from_torch(dense, SHAPES)


@pytest.mark.parametrize("suffix", ["_mask", ""])
def test_masks_of_what_cannot_be_pruned_are_refused(arrays, suffix):
    arrays = {name.replace("_mask", suffix): array for name, array in arrays.items() if name != "fc.bias"}
    arrays[f"fc.bias{suffix}"] = np.array([0] * 7 + [1] * 3)
    with pytest.raises(TostError, match=rf"fc.bias{suffix} prunes 7 of 10 parameters that are not in a kernel"):
        from_torch(arrays, SHAPES)
    arrays[f"fc.bias{suffix}"] = np.ones(10)
    from_torch(arrays, SHAPES)


def test_masks_of_every_type_people_save(arrays):
    expected = from_torch(arrays, SHAPES)
    for dtype in (ml_dtypes.bfloat16, np.float16, np.bool_, np.int64):
        assert from_torch({name: array.astype(dtype) for name, array in arrays.items()}, SHAPES) == expected
    arrays["fc.weight_mask"] = (0.3 * arrays["fc.weight_mask"]).astype(ml_dtypes.bfloat16)
    with pytest.raises(TostError, match="logits/kernel holds 0.30"):
        from_torch(arrays, SHAPES)
    path = "a/kernel"
    assert Masks({path: np.ones((2, 3), ml_dtypes.bfloat16)}) == Masks({path: np.ones((2, 3))})


def test_two_names_of_one_parameter_are_refused(arrays):
    arrays["module.conv1.weight_mask"] = arrays["conv1.weight_mask"]
    with pytest.raises(TostError, match="are the same weight_mask of conv1: remove one"):
        from_torch(arrays, SHAPES)


def test_layers_that_are_new_or_dense_may_be_missing_or_others(small_model):
    masks = tost.masks.random(small_model, sparsity=0.3)
    theirs = {f"{path.split('/')[0]}.weight": _there(path, mask) for path, mask in masks.items()}
    assert masks_from_torch(theirs, small_model) == masks
    theirs["logits.weight"] = random_mask(7, 5)
    with pytest.raises(TostError, match=r"shape \[5, 7\] here, and the layer of that name, logits, has the shape"):
        masks_from_torch(theirs, small_model)
    lines = []
    found = masks_from_torch(theirs, small_model, new_layers="^logits$", say=lines.append)
    assert found["logits/kernel"].all() and np.array_equal(found["stem/kernel"], masks["stem/kernel"])
    assert list(found) == list(masks) and len(lines) == 4
    del theirs["logits.weight"]
    with pytest.raises(TostError, match=r"shape \[5, 4\]: 0 in the file \(none\), 1 in the model \(logits\)"):
        masks_from_torch(theirs, small_model)
    assert masks_from_torch(theirs, small_model, dense_layers="logits") == found


def _there(path, mask):
    if path.endswith("depthwise_kernel"):
        return mask.transpose(2, 3, 0, 1).reshape(-1, 1, *mask.shape[:2])
    return np.moveaxis(mask, (-1, -2), (0, 1))


def test_kernels_that_no_mask_reaches_are_left_out():
    layers = keras.layers
    tokens = keras.Input((5,), dtype="int32")
    x = layers.Embedding(7, 4, name="words")(tokens)
    x = layers.SeparableConv1D(6, 3, name="mix")(x)
    model = keras.Model(tokens, layers.Dense(3, name="top")(layers.GlobalAveragePooling1D()(x)))
    generator = np.random.default_rng(4)
    mask = (generator.random((3, 6)) < 0.4).astype(np.float32)
    point = (generator.random((6, 4, 1)) < 0.6).astype(np.float32)
    arrays = {
        "emb.weight": generator.normal(size=(7, 4)),
        "deep.weight": generator.normal(size=(4, 1, 3)),
        "point.weight_orig": generator.normal(size=(6, 4, 1)),
        "point.weight_mask": point,
        "fc.weight_orig": generator.normal(size=(3, 6)),
        "fc.weight_mask": mask,
    }
    masks = masks_from_torch(arrays, model)
    np.testing.assert_array_equal(masks["top/kernel"], mask.T)
    np.testing.assert_array_equal(masks["mix/pointwise_kernel"], point.transpose(2, 1, 0))
    only = {"point.weight": point, "fc.weight": mask}  # a file of masks alone, which does not have them
    again = masks_from_torch(only, model, dense_layers="^top$")
    np.testing.assert_array_equal(again["top/kernel"], mask.T)
