import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.allocate import erdos_renyi_kernel, kept_count
from tost_tf.masks.sparsify import masked_kernels

SIZES = {
    "stem/kernel": 54,
    "conv1/kernel": 135,
    "conv2/depthwise_kernel": 45,
    "shortcut/kernel": 15,
    "logits/kernel": 20,
}
TOTAL = 269


def test_prunable_weights_are_the_kernels(small_model):
    weights = prunable_weights(small_model)
    assert {path: int(np.prod(weight.shape)) for path, weight in weights.items()} == SIZES


def test_prunable_weights_of_nested_shared_and_wrapped_layers(small_model):
    image = keras.Input((6, 6, 2))
    shared = keras.layers.Dense(3, name="shared")
    x = shared(shared(keras.layers.Dense(3, name="head")(small_model(image))))
    model = keras.Model(image, x)
    expected = [f"small/{path}" for path in SIZES] + ["head/kernel", "shared/kernel"]
    assert list(prunable_weights(model)) == expected
    masks = tost.masks.random(model, sparsity=0.5)
    assert list(prunable_weights(tost.sparsify(model, masks))) == expected


@pytest.mark.parametrize("find", [tost.masks.random, tost.masks.magnitude, tost.masks.erk])
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.95])
def test_counts_are_exact_over_all_layers(small_model, find, sparsity):
    masks = find(small_model, sparsity=sparsity)
    assert masks.kept == kept_count(TOTAL, sparsity)


@pytest.mark.parametrize("find", [tost.masks.random, tost.masks.magnitude])
def test_counts_are_exact_in_each_layer(small_model, find):
    masks = find(small_model, sparsity=0.7, scope="layer")
    assert {path: int(mask.sum()) for path, mask in masks.items()} == {
        path: kept_count(size, 0.7) for path, size in SIZES.items()
    }


def test_erk_has_its_densities(small_model):
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(small_model).items()}
    masks = tost.masks.erk(small_model, sparsity=0.8)
    assert {path: int(mask.sum()) for path, mask in masks.items()} == erdos_renyi_kernel(shapes, 0.8)


def test_magnitude_keeps_the_largest(small_model):
    masks = tost.masks.magnitude(small_model, sparsity=0.6)
    weights = {path: np.abs(weight.numpy()) for path, weight in prunable_weights(small_model).items()}
    kept = np.concatenate([weights[path][masks[path] == 1] for path in weights])
    dropped = np.concatenate([weights[path][masks[path] == 0] for path in weights])
    assert kept.min() >= dropped.max()


def test_random_is_decided_by_its_seed_and_nested(small_model):
    first, again, other = (tost.masks.random(small_model, sparsity=0.9, seed=seed) for seed in (1, 1, 2))
    for path in first:
        np.testing.assert_array_equal(first[path], again[path])
    assert any(np.any(first[path] != other[path]) for path in first)
    denser = tost.masks.random(small_model, sparsity=0.5, seed=1)
    assert all(np.all(first[path] <= denser[path]) for path in first)


def test_dense_layers_keep_everything_and_do_not_count(small_model):
    masks = tost.masks.random(small_model, sparsity=0.9, dense_layers="^(stem|logits)$")
    assert masks["stem/kernel"].all() and masks["logits/kernel"].all()
    assert masks.kept == 54 + 20 + kept_count(TOTAL - 74, 0.9)
    assert list(masks) == list(SIZES)


def test_bad_requests_are_refused(small_model):
    with pytest.raises(TostError, match="sparsity is 1, it must be at least 0 and below 1"):
        tost.masks.random(small_model, sparsity=1)
    with pytest.raises(TostError, match="unknown mask scope 'layers': did you mean 'layer'"):
        tost.masks.random(small_model, sparsity=0.5, scope="layers")
    with pytest.raises(TostError, match="no weight to prune besides those left dense"):
        tost.masks.random(small_model, sparsity=0.5, dense_layers=".")
    small_model.get_layer("conv1").kernel.assign_add(np.full((3, 3, 3, 5), np.nan))
    with pytest.raises(TostError, match="the score of conv1/kernel is not finite"):
        tost.masks.magnitude(small_model, sparsity=0.5)


@pytest.mark.parametrize("find", [tost.masks.magnitude, tost.masks.snip, tost.masks.grasp, tost.masks.synflow])
def test_the_layer_with_weights_not_finite_is_named(small_model, small_images, find):
    dataset = [tuple(map(tf.constant, small_images))]
    kernel = small_model.get_layer("conv1").kernel
    before = kernel.numpy()
    kernel.assign(np.where(before == before.max(), np.nan, before))
    with pytest.raises(TostError, match="(score of|because of the weight) conv1/kernel"):
        find(small_model, dataset, sparsity=0.9)


@pytest.mark.parametrize("find", [tost.masks.snip, tost.masks.grasp, tost.masks.synflow])
def test_other_weights_that_are_not_finite_are_named(small_model, small_images, find):
    dataset = [tuple(map(tf.constant, small_images))]
    small_model.get_layer("bn1").gamma.assign([1.0, np.inf, 1.0, 1.0, 1.0])
    with pytest.raises(TostError, match="bn1/gamma"):
        find(small_model, dataset, sparsity=0.9)


@pytest.mark.parametrize("find", [tost.masks.random, tost.masks.magnitude, tost.masks.synflow])
def test_sparsity_at_which_a_layer_must_be_empty_is_refused(small_model, find):
    with pytest.raises(TostError, match=r"only 4 of 269 weights stay, fewer than there are layers \(5\)"):
        find(small_model, sparsity=1 - 4 / 269)
    assert find(small_model, sparsity=1 - 5 / 269).kept == 5
    with pytest.raises(TostError, match="in each layer no weight would be left in shortcut/kernel"):
        find(small_model, sparsity=0.97, scope="layer")


@pytest.mark.parametrize("find", [tost.masks.snip, tost.masks.grasp, tost.masks.synflow])
def test_masks_are_found_once_and_are_the_same_on_every_replica(small_model, small_images, two_replicas, find):
    dataset = [tuple(map(tf.constant, small_images))]
    masks = find(small_model, dataset, sparsity=0.8)
    with two_replicas.scope():
        sparse = tost.sparsify(small_model, masks)
        with pytest.raises(TostError, match="call sparsify inside it"):
            find(small_model, dataset, sparsity=0.8)
    for path, masked in masked_kernels(sparse).items():
        assert len(masked.mask.values) == 2
        for replica in masked.mask.values:
            np.testing.assert_array_equal(replica, masks[path])
    with pytest.raises(TostError, match="cannot be found under a distribution strategy"):
        find(sparse, dataset, sparsity=0.9)
