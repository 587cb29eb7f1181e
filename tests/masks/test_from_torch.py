import numpy as np
import pytest

from tost_tf.errors import TostError
from tost_tf.masks.from_torch import from_torch

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
    assert (
        "shape [3, 3, 4, 4]: 1 in the file (layer10.conv.weight_mask), 2 in the model (block1/kernel, block2/kernel)"
        in str(error.value)
    )
    arrays["extra.weight"] = random_mask(7, 7)
    with pytest.raises(TostError, match=r"shape \[7, 7\]: 1 in the file \(extra.weight\), 0 in the model \(none\)"):
        from_torch(arrays, SHAPES)


def test_wrong_maps_are_refused(arrays):
    with pytest.raises(TostError, match="the name map has no.such, which neither"):
        from_torch(arrays, SHAPES, {"no.such": "stem/kernel"})
    with pytest.raises(TostError, match=r"fc.weight_mask has shape \[10, 8\], which is not that of stem/kernel"):
        from_torch(arrays, SHAPES, {"fc.weight_mask": "stem/kernel"})
