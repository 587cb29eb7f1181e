import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.analysis.mask_statistics import mask_overlap, mask_spectrum
from tost_tf.compat import keras
from tost_tf.errors import TostError


@pytest.fixture
def chain():
    return keras.Sequential(
        [
            keras.layers.Dense(3, input_shape=(2,), name="a"),
            keras.layers.ReLU(),
            keras.layers.Dense(3, name="b"),
            keras.layers.Dense(2, name="c"),
        ]
    )


def test_spectrum_by_hand(chain):
    masks = tost.Masks(
        {
            "a/kernel": [[1, 0, 0], [1, 1, 0]],
            # The second output of a is read by nobody; a's third output is dead, and yet read.
            "b/kernel": [[1, 0, 1], [0, 0, 0], [0, 1, 0]],
            "c/kernel": [[1, 1], [1, 0], [0, 0]],
        }
    )
    a, b, c = mask_spectrum(chain, masks)
    assert a == {
        "layer": "a",
        "weights": 6,
        "density": 0.5,
        "dead_outputs": pytest.approx(1 / 3),
        "dead_inputs": 0.0,
        "effective_density": pytest.approx(2 / 6),
        "log10_paths": pytest.approx(np.log10(4)),
    }
    # From the dead third output there is no path, nor is there one from b's third output on.
    assert b["dead_outputs"] == 0 and b["dead_inputs"] == pytest.approx(1 / 3)
    assert b["effective_density"] == pytest.approx(1 / 9)
    assert c["effective_density"] == pytest.approx(2 / 6) and c["density"] == 0.5
    # Two weights into a's first output, one on to b's first, two from there: 2·1·2.
    assert b["log10_paths"] == c["log10_paths"] == pytest.approx(np.log10(4))


def test_dense_network(chain):
    assert all(row["density"] == row["effective_density"] == 1 for row in mask_spectrum(chain, {}))


def test_no_path_at_all(chain):
    masks = {"a/kernel": np.ones((2, 3)), "b/kernel": np.zeros((3, 3)), "c/kernel": np.ones((3, 2))}
    assert {row["log10_paths"] for row in mask_spectrum(chain, masks)} == {float("-inf")}
    assert [row["effective_density"] for row in mask_spectrum(chain, masks)] == [0, 0, 0]


def test_convolutions_and_shortcuts(small_model):
    masks = dict(tost.masks.random(small_model, sparsity=0.0))
    masks["conv1/kernel"] = np.zeros_like(masks["conv1/kernel"])
    rows = {row["layer"]: row for row in mask_spectrum(small_model, masks)}
    assert rows["conv2"]["effective_density"] == 0 and rows["conv2"]["dead_inputs"] == 0
    assert rows["shortcut"]["effective_density"] == 1 and rows["conv1"]["dead_outputs"] == 1


def test_overlap_by_hand():
    one = tost.Masks({"a/kernel": [1, 1, 0, 0, 0], "b/kernel": [0, 0]})
    other = tost.Masks({"a/kernel": [1, 0, 1, 1, 0], "b/kernel": [0, 0]})
    a, b = mask_overlap(one, other)
    assert a == {"layer": "a", "overlap": 0.25, "by_chance": pytest.approx(0.24 / (0.4 + 0.6 - 0.24))}
    assert b["overlap"] == 1
    with pytest.raises(TostError, match="are of different networks"):
        mask_overlap(one, tost.Masks({"a/kernel": [1, 0, 1, 1, 0]}))


@pytest.mark.parametrize(
    "name",
    [
        "vgg16",
        "mobilenet",
        exhaustive("applications/MobileNetV2"),
        exhaustive("applications/EfficientNetB0"),
    ],
)
def test_in_a_dense_network_every_weight_is_effective(name):
    model = tost.models.build(
        name, (64, 64, 3), 10, 0.35 if "V2" in name else 0.25 if name in ("vgg16", "mobilenet") else 1
    )
    assert {row["effective_density"] for row in mask_spectrum(model, {})} == {1.0}


def test_dead_inputs_of_a_grouped_convolution():
    image = keras.Input((4, 4, 4))
    model = keras.Model(image, keras.layers.Conv2D(6, 1, groups=2, use_bias=False, name="conv")(image))
    mask = np.ones((1, 1, 2, 6))
    mask[0, 0, 1, 3:] = 0  # the second group does not read its second channel
    (row,) = mask_spectrum(model, {"conv/kernel": mask})
    assert row["dead_inputs"] == 0.25 and row["dead_outputs"] == 0


def test_analyses_are_reached_from_the_package(chain):
    masks = tost.masks.random(chain, sparsity=0.0)
    assert tost.analysis.mask_spectrum(chain, masks) == mask_spectrum(chain, masks)
    assert all(callable(getattr(tost.analysis, name)) for name in tost.analysis.__all__)


@pytest.mark.parametrize("kind", ["recurrent", "attention"])
def test_paths_through_gates_and_softmaxes_are_not_counted(kind):
    x = keras.Input((6, 4))
    attention = keras.layers.MultiHeadAttention(2, 3, name="inner")
    h = attention(x, x) if kind == "attention" else keras.layers.Bidirectional(keras.layers.GRU(3, name="inner"))(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(h)), name="net")
    with pytest.raises(TostError, match="inner.* of net multiplies .* paths of .* through it cannot be counted"):
        mask_spectrum(model, {})


def test_channels_of_transposed_and_einsum_kernels():
    x = keras.Input((4, 4, 2))
    h = keras.layers.Conv2DTranspose(3, 2, use_bias=False, name="up")(x)
    h = keras.layers.EinsumDense("abcd,def->abcef", (None, None, 2, 2), name="einsum")(h)
    model = keras.Model(x, keras.layers.Flatten()(h))
    masks = {"up/kernel": np.ones((2, 2, 3, 2)), "einsum/kernel": np.ones((3, 2, 2))}
    masks["up/kernel"][:, :, 1] = 0  # one of three outputs
    masks["up/kernel"][:, :, :, 0] = 0  # one of two inputs
    masks["einsum/kernel"][:, 0, 1] = 0  # one of 2·2 outputs
    up, einsum = mask_spectrum(model, masks)
    assert (up["dead_outputs"], up["dead_inputs"]) == (pytest.approx(1 / 3), 0.5)
    assert (einsum["dead_outputs"], einsum["dead_inputs"]) == (0.25, 0)
    assert einsum["effective_density"] == pytest.approx(2 * 3 / 12)  # the input whose output is dead is not reached


def test_masks_of_other_weights_are_refused(chain):
    masks = {path: np.ones(mask.shape) for path, mask in tost.masks.random(chain, sparsity=0.5).items()}
    path, mask = next(iter(masks.items()))
    for wrong, message in (
        ({"conv9/kernel": mask}, "conv9/kernel is not a prunable weight of"),
        ({path: 0.5 * mask}, "a mask may hold only 0 and 1"),
        ({path: mask[:1]}, "has shape"),
    ):
        for function in (mask_spectrum, tost.masks.depends_on_input):
            with pytest.raises(TostError, match=message):
                function(chain, wrong)
    assert mask_overlap(masks, masks)[0]["overlap"] == 1.0
