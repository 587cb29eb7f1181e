import numpy as np
import pytest

import tost_tf as tost
from tost_tf.analysis.kept_weights import KeptWeights, loss_and_accuracy
from tost_tf.analysis.landscape import (
    filter_normalised_direction,
    input_landscape,
    loss_along_direction,
    weight_landscape,
)
from tost_tf.compat import keras
from tost_tf.errors import TostError


@pytest.fixture
def sparse(small_model):
    return tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.6))


def test_loss_and_accuracy_by_hand():
    model = keras.Sequential([keras.layers.Dense(2, use_bias=False, input_shape=(2,))])
    model.set_weights([np.eye(2)])
    images, labels = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 0.5]], np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1]]
    expected = np.mean([np.log(1 + np.exp(-2)), np.log(1 + np.exp(-3)), np.log(1 + np.exp(0.5))])
    assert loss_and_accuracy(model, images, labels, batch=2) == (
        pytest.approx(expected, rel=1e-5),
        pytest.approx(2 / 3),
    )


def test_along_a_direction_the_middle_is_the_model_itself(sparse, small_images):
    weights = KeptWeights(sparse)
    before = [weight.numpy() for weight in sparse.weights]
    direction = weights.flat([np.ones(mask.shape) for mask in weights.masks])
    rows = loss_along_direction(sparse, 7 * direction, np.array([-0.4, 0.0, 0.3]), *small_images)
    assert [row["distance"] for row in rows] == [-0.4, 0.0, 0.3]
    assert (rows[1]["loss"], rows[1]["accuracy"]) == loss_and_accuracy(sparse, *small_images)
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, sparse.weights, strict=True))
    # By hand: every kept weight moved by 0.3 / √(kept).
    step = 0.3 / np.linalg.norm(direction)
    for variable, mask in zip(weights.variables, weights.masks, strict=True):
        variable.assign_add(step * mask)
    assert rows[2]["loss"] == pytest.approx(loss_and_accuracy(sparse, *small_images)[0], rel=1e-5)


def test_directions_have_the_norms_of_the_filters_and_keep_pruned_weights(sparse):
    weights = KeptWeights(sparse)
    direction = filter_normalised_direction(weights, 3)
    parts = weights.parts(direction)
    for part, variable, mask, is_kernel in zip(parts, weights.variables, weights.masks, weights.kernels, strict=True):
        assert not part[mask == 0].any()
        if is_kernel:
            # Kernel height and width are summed over, and inputs; a depthwise kernel's channels are filters each.
            axes = {"depthwise_kernel": (0, 1), "kernel": (0, 1, 2) if part.ndim == 4 else (0,)}[_kind(variable)]
            np.testing.assert_allclose((part**2).sum(axes), (variable.numpy() ** 2).sum(axes), rtol=1e-4)
        else:
            assert not part.any()
    assert np.abs(direction - filter_normalised_direction(weights, 4)).max() > 0.01


def test_filters_of_every_kind_of_kernel_keep_their_norms():
    layers, image = keras.layers, keras.Input((2, 2, 3))
    x = layers.Reshape((4, 5))(layers.Conv2DTranspose(5, 2, padding="same", name="transposed")(image))
    x = layers.EinsumDense("bsi,ioj->bsoj", (None, 2, 3), name="einsum")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(layers.Reshape((4, 6))(x), layers.Reshape((4, 6))(x))
    weights = KeptWeights(keras.Model(image, x))
    others = {"transposed/kernel": (0, 1, 3), "einsum/kernel": 0, "attention_output/kernel": (0, 1)}
    others |= {f"{name}/kernel": 0 for name in ("query", "key", "value")}
    parts = weights.parts(filter_normalised_direction(weights, 3))
    found = {
        "/".join(v.name[:-2].split("/")[-2:]): (v.numpy(), part)
        for v, part in zip(weights.variables, parts, strict=True)
    }
    for name, axes in others.items():
        value, part = found[name]
        np.testing.assert_allclose((part**2).sum(axes), (value**2).sum(axes), rtol=1e-4)
        assert (np.abs(part) > 0).all()


@pytest.mark.parametrize("landscape", [weight_landscape, input_landscape])
def test_planes_have_the_model_in_their_middle(sparse, small_images, landscape):
    before = [weight.numpy() for weight in sparse.weights]
    rows = landscape(sparse, *small_images, points=3, reach=0.5)
    assert [(row["x"], row["y"]) for row in rows] == [(x, y) for x in (-0.5, 0.0, 0.5) for y in (-0.5, 0.0, 0.5)]
    assert rows[4]["loss"] == pytest.approx(loss_and_accuracy(sparse, *small_images)[0], rel=1e-6)
    assert len({round(row["loss"], 6) for row in rows}) > 5
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, sparse.weights, strict=True))


def _kind(variable):
    return variable.name.split("/")[-1].removesuffix(":0")


def test_a_direction_is_one_of_kept_weights(sparse, small_images):
    weights = KeptWeights(sparse)
    ones, kept = np.ones(weights.size), weights.flat([np.ones(mask.shape) for mask in weights.masks])
    one, other = (
        loss_along_direction(model, direction, np.array([0.4]), *small_images)
        for model, direction in ((sparse, ones), (sparse, kept))
    )
    assert one == other
    for direction, message in (
        (np.zeros(weights.size), "has length 0 along the kept weights"),
        (ones[1:], r"has shape \(\d+,\)"),
    ):
        with pytest.raises(TostError, match=message):
            loss_along_direction(sparse, direction, np.array([0.4]), *small_images)


@pytest.mark.parametrize("wrong", [{"points": 1}, {"points": 2.5}, {"reach": 0}, {"reach": float("nan")}])
def test_grids_that_are_none(sparse, small_images, wrong):
    for landscape in (weight_landscape, input_landscape):
        with pytest.raises(TostError, match=f"{next(iter(wrong))} is .*, it must be"):
            landscape(sparse, *small_images, **wrong)
