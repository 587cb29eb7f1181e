import numpy as np
import pytest

from tost_tf import masks as find
from tost_tf.compat import keras, tf
from tost_tf.dynamic.growth import GRADIENT, RANDOM
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.errors import NotFinite, TostError
from tost_tf.masks.masks import Masks
from tost_tf.masks.sparsify import masks_of, sparsify, with_dense_gradients
from tost_tf.training.optimizer import CoupledSGD


def one_layer(mask, weight) -> keras.Model:
    dense = keras.Sequential([keras.layers.Dense(2, use_bias=False, name="dense", input_shape=(3,))])
    dense.set_weights([np.array(weight, np.float32)])
    return sparsify(dense, Masks({"dense/kernel": np.array(mask)}))


def trained(model, keep_gradients=True) -> CoupledSGD:
    """After one step on images [1, 2, 4] with the loss 3·y0 - 5·y1: the gradient is [[3, -5], [6, -10], [12, -20]]."""
    optimizer = CoupledSGD(0.01, 0.9, 0.1)
    if keep_gradients:
        optimizer.keep_gradients(with_dense_gradients(model))
    optimizer.build(model.trainable_variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.constant([[1.0, 2.0, 4.0]])) * [3.0, -5.0])
    optimizer.minimize(loss, model.trainable_variables, tape=tape)
    return optimizer


def test_rigl_by_hand():
    model = one_layer([[1, 0], [1, 1], [0, 0]], [[0.5, 7], [0.1, -0.9], [7, 7]])
    optimizer = trained(model)
    kernel = model.trainable_variables[0]
    assert optimizer.gradient_of(kernel).numpy().tolist() == [[3, -5], [6, -10], [12, -20]]  # without the penalty
    before = kernel.numpy()
    done = MaskUpdater(model, optimizer).update(GRADIENT, 0.4, step=20)
    # 0.1 - 0.01·(6 + 0.1·0.1) is the smallest; of the empty places |-20| is the largest.
    assert masks_of(model)["dense/kernel"].tolist() == [[1, 0], [0, 1], [0, 1]]
    assert kernel.numpy() == pytest.approx(before * [[1, 0], [0, 1], [0, 0]])
    momentum = optimizer.momentum_of(kernel).numpy()
    assert momentum[2, 1] == momentum[1, 0] == momentum[2, 0] == 0 and momentum[0, 0] == pytest.approx(3.05)
    assert (done.dropped, done.grown, done.kept) == (1, 1, 3)


def test_a_weight_that_grew_moves_only_by_its_gradient():
    model = one_layer([[1, 0], [1, 1], [0, 0]], [[0.5, 7], [0.1, -0.9], [7, 7]])
    optimizer = trained(model)
    MaskUpdater(model, optimizer).update(GRADIENT, 0.4, step=20)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.constant([[1.0, 2.0, 4.0]])) * [3.0, -5.0])
    optimizer.minimize(loss, model.trainable_variables, tape=tape)
    kernel = model.trainable_variables[0].numpy()
    assert kernel[2, 1] == pytest.approx(0.01 * 20) and kernel[2, 0] == 0


def test_set_is_reproducible_and_differs_by_step_and_seed(small_model):
    def grown(seed, step):
        sparse = sparsify(small_model, find.erk(small_model, sparsity=0.7, seed=1))
        optimizer = CoupledSGD()
        optimizer.build(sparse.trainable_variables)
        before = masks_of(sparse)
        MaskUpdater(sparse, optimizer, seed=seed).update(RANDOM, 0.5, step)
        after = masks_of(sparse)
        assert {path: mask.sum() for path, mask in after.items()} == {path: m.sum() for path, m in before.items()}
        return after

    assert grown(3, 40) == grown(3, 40)
    assert grown(3, 40) != grown(3, 60) and grown(3, 40) != grown(4, 40)


def test_weights_dropped_and_grown_in_one_update_never_left():
    model = one_layer([[1, 0], [1, 1], [1, 0]], [[0.5, 7], [0.6, -0.9], [0.1, 7]])
    optimizer = trained(model)
    kernel = model.trainable_variables[0]
    before, momentum = kernel.numpy(), optimizer.momentum_of(kernel).numpy()
    done = MaskUpdater(model, optimizer).update(GRADIENT, 0.5, step=20)
    # Of 4 weights 0.1 - 0.12 and 0.5 - 0.03 are the smallest; of all places then |-20| and |12| are the largest.
    assert masks_of(model)["dense/kernel"].tolist() == [[0, 0], [1, 1], [1, 1]]
    assert kernel.numpy().tolist() == (before * [[0, 0], [1, 1], [1, 0]]).tolist() and kernel.numpy()[2, 0] != 0
    after = optimizer.momentum_of(kernel).numpy()
    assert after[2, 0] == momentum[2, 0] == pytest.approx(12.01) and after[2, 1] == 0
    assert (done.dropped, done.grown, done.kept) == (1, 1, 4)


def test_granet_prunes_globally_and_pruned_weights_may_grow_again():
    model = one_layer([[1, 1], [1, 1], [1, 0]], [[0.5, 0.7], [0.1, -0.9], [-0.3, 7]])
    optimizer = trained(model)
    model.set_weights([np.array([[0.5, 0.7], [0.1, -0.9], [-0.3, 0]], np.float32), *model.get_weights()[1:]])
    kernel = model.trainable_variables[0]
    momentum = optimizer.momentum_of(kernel).numpy()
    done = MaskUpdater(model, optimizer).update(GRADIENT, 0.7, step=20, sparsity=0.5)
    # 3 of 6 stay: 0.1 and -0.3 are pruned. 0.7 of the 3 is two: 0.5 and 0.7 are dropped. |-20| grows, and |12|.
    assert masks_of(model)["dense/kernel"].tolist() == [[0, 0], [0, 1], [1, 1]]
    assert kernel.numpy() == pytest.approx(np.array([[0, 0], [0, -0.9], [0, 0]]))
    after = optimizer.momentum_of(kernel).numpy()
    assert after[1, 1] == momentum[1, 1] != 0 and after[2].tolist() == [0, 0] and momentum[2, 0] != 0
    assert (done.dropped, done.grown, done.kept) == (3, 1, 3)


def test_granet_keeps_weights_dropped_and_grown_in_one_update():
    model = one_layer([[1, 1], [1, 1], [1, 1]], [[0.5, 0.7], [0.1, -0.9], [-0.3, 0.6]])
    optimizer = trained(model)
    before = model.trainable_variables[0].numpy()
    # 4 of 6 stay: 0.5 - 0.03, 0.7 + 0.05, -0.9 + 0.1 and 0.6 + 0.2; 0.26 of them is one, and 0.47 is dropped. Of the
    # places then |12| is the largest, |6| the next and |3| that of what was dropped.
    done = MaskUpdater(model, optimizer).update(GRADIENT, 0.26, step=20, sparsity=0.3)
    assert masks_of(model)["dense/kernel"].tolist() == [[0, 1], [0, 1], [1, 1]]
    kernel = model.trainable_variables[0].numpy()
    assert kernel.tolist() == (before * [[0, 1], [0, 1], [0, 1]]).tolist()
    assert (done.dropped, done.grown, done.kept) == (2, 0, 4)


def test_granet_accepts_weights_pruned_already():
    """Rounded by layer fewer weights can be kept than of all together."""
    model = one_layer([[1, 0], [0, 0], [0, 1]], [[0.5, 0.7], [0.1, -0.9], [-0.3, 0.6]])
    done = MaskUpdater(model, trained(model)).update(GRADIENT, 0.3, step=20, sparsity=0.5)
    assert done.kept == 2


@pytest.mark.parametrize("sparsity", [None, 0.6])
def test_nothing_changes_if_something_is_not_finite_and_it_is_named(sparsity):
    model = one_layer([[1, 0], [1, 1], [0, 0]], [[0.5, 7], [0.1, np.nan], [7, 7]])
    updater = MaskUpdater(model, trained(model))
    before = updater.masks()
    with pytest.raises(NotFinite, match="the score of dense/kernel is not finite everywhere after step 20"):
        updater.update(GRADIENT, 0.4, 20, sparsity)
    assert (updater.masks()["dense/kernel"] == before["dense/kernel"]).all()


def test_a_frozen_layer_is_left_alone(small_model):
    small_model.get_layer("conv1").trainable = False
    sparse = sparsify(small_model, find.random(small_model, sparsity=0.6, scope="layer"))
    optimizer = CoupledSGD()
    optimizer.build(sparse.trainable_variables)
    updater = MaskUpdater(sparse, optimizer)
    assert set(updater.layers) == {"stem/kernel", "shortcut/kernel", "conv2/depthwise_kernel", "logits/kernel"}


def test_layers_left_dense_and_dense_layers_do_not_change(small_model):
    masks = dict(find.random(small_model, sparsity=0.6, scope="layer"))
    masks["stem/kernel"] = np.ones_like(masks["stem/kernel"])
    sparse = sparsify(small_model, Masks(masks))
    optimizer = CoupledSGD()
    optimizer.build(sparse.trainable_variables)
    updater = MaskUpdater(sparse, optimizer, dense_layers="^logits$|^conv1$")
    updater.update(RANDOM, 0.5, step=1)
    changed = {path for path, mask in masks_of(sparse).items() if (mask != masks[path]).any()}
    assert changed == {"shortcut/kernel", "conv2/depthwise_kernel"}


def test_networks_without_masks_that_are_trained_are_refused(small_model):
    sparse = sparsify(small_model, find.random(small_model, sparsity=0.5))
    with pytest.raises(TostError, match="has no mask that may change"):  # an optimizer that trains no kernel
        optimizer = keras.optimizers.Adam()
        optimizer.build([])
        MaskUpdater(sparse, optimizer)
    with pytest.raises(TostError, match="has no mask that may change"):
        MaskUpdater(small_model, CoupledSGD())


def test_every_replica_has_the_same_masks(two_replicas, small_model, small_images):
    masks = find.erk(small_model, sparsity=0.7, seed=1)

    def run(strategy):
        with strategy.scope():
            sparse = sparsify(small_model, masks)
            optimizer = CoupledSGD(0.1, 0.9)
            optimizer.keep_gradients(with_dense_gradients(sparse))
            sparse.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
            optimizer.build(sparse.trainable_variables)
            updater = MaskUpdater(sparse, optimizer)
            images, labels = small_images
            sparse.fit(images, labels, batch_size=20, epochs=2, shuffle=False, verbose=0)
            updater.update(GRADIENT, 0.4, step=2)
            sparse.fit(images, labels, batch_size=20, epochs=1, shuffle=False, verbose=0)
        return updater

    updater = run(two_replicas)
    assert dict(updater.masks()).keys() == dict(masks).keys()
    assert any((mask != masks[path]).any() for path, mask in updater.masks().items())
    for layer in updater.layers.values():
        copies = [two_replicas.experimental_local_results(variable) for variable in (layer.mask, layer.kernel)]
        for one, other in copies:
            assert one.numpy().tolist() == other.numpy().tolist()
        assert not layer.kernel.numpy()[layer.mask.numpy() == 0].any()
