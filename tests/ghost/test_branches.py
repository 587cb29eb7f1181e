"""Parallel kernels under one mask: where they are, how they start and train, and what ends them."""

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive, quick
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.ghost.branch_places import branch_places
from tost_tf.ghost.branches import filter_norms
from tost_tf.ghost.inputs import some_inputs
from tost_tf.ghost.merge import bring_up_to_date
from tost_tf.ghost.plain_loss import PlainLoss
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.wrapper import mask_of
from tost_tf.registry import OPTIMIZER_TWEAKS, OPTIMIZERS
from tost_tf.training.optimizer import CoupledSGD

layers = keras.layers
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def small(**options) -> keras.Model:
    """A convolution, a depthwise one, and a Dense layer, each with BatchNormalization; a classifier without."""
    image = keras.Input((6, 6, 2))
    x = layers.BatchNormalization(name="norm1")(layers.Conv2D(3, 3, padding="same", name="conv", **options)(image))
    x = layers.DepthwiseConv2D(3, name="depthwise", use_bias=False)(layers.ReLU(name="relu1")(x))
    x = layers.ReLU(name="relu2")(layers.BatchNormalization(name="norm2")(x))
    x = layers.BatchNormalization(name="norm3")(layers.Dense(5, name="hidden", use_bias=False)(layers.Flatten()(x)))
    return keras.Model(image, layers.Dense(4, name="logits")(layers.ReLU(name="relu3")(x)), name="small")


def branched(model: keras.Model | None = None, sparsity: float = 0.5, **options) -> tost.GhostModel:
    model = small() if model is None else model
    options = {"neurons": "none", "skips": "none", "branches": 2} | options
    return tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=sparsity)), **options)


def test_how_new_branches_start():
    ghosted = branched(branches=3)
    assert [(ghost.layer, ghost.kind) for ghost in ghosted.ghosts] == [
        ("conv", "3 branches"),
        ("depthwise", "3 branches"),
        ("hidden", "3 branches"),
    ]
    assert ghosted.ghosts[0].extra_parameters == 2 * (3 * 3 * 2 * 3 + 3 + 3)
    for layer in ghosted.branch_layers():
        first, one, other = (kernel.numpy() for kernel in layer.kernels)
        mask = mask_of(layer.first_kernel)
        assert mask_of(layer.new_kernels[0]) is mask is mask_of(layer.new_kernels[1])
        for kernel in (one, other):
            np.testing.assert_array_equal(kernel != 0, mask.numpy() != 0)
            np.testing.assert_allclose(
                filter_norms(kernel, layer.output_axes), filter_norms(first, layer.output_axes), rtol=1e-5
            )
        assert np.abs(one - other).max() > 0.01 < np.abs(one - first).max()
    again = branched(branches=3)
    for one, other in zip(ghosted.branch_layers(), again.branch_layers(), strict=True):
        ratio = one.new_kernels[0].numpy() / filter_norms(one.first_kernel.numpy(), one.output_axes)
        assert one.seed == other.seed and np.isfinite(ratio).all()
    assert len({layer.seed for layer in ghosted.branch_layers()}) == 3


def test_the_sum_by_hand(small_images):
    ghosted = branched(branches=2)
    layer = ghosted.branch_layers()[0]
    layer.layer.layer.bias.assign([0.3, -0.2, 0.1])
    layer.new_normalizations[0].gamma.assign([0.7, 1.3, -0.4])
    expected = 0
    for kernel, norm in zip(layer.kernels, layer.normalizations, strict=True):
        outputs = tf.nn.conv2d(small_images[0], kernel, 1, "SAME") + np.float32([0.3, -0.2, 0.1])
        mean, variance = tf.nn.moments(outputs, (0, 1, 2))
        expected += norm.gamma * (outputs - mean) / tf.sqrt(variance + norm.epsilon) + norm.beta
    np.testing.assert_allclose(layer(small_images[0], training=True), expected, atol=1e-5)


def test_a_network_that_has_seen_images_goes_on_from_what_it_has_learned(small_images):
    model = small()
    model.compile("sgd", LOSS)
    model.fit(*small_images, verbose=0)
    ghosted = branched(model, sparsity=0.0)
    np.testing.assert_allclose(ghosted(small_images[0]), model(small_images[0]), atol=1e-6)
    assert np.abs(branched(sparsity=0.0)(small_images[0]) - branched().plain(small_images[0])).max() > 0.01


# By the weights that it scales, LARS is like the orthogonal optimizer.
@pytest.mark.parametrize("optimizer", quick(OPTIMIZERS, ("orthogonal", "adamw")))
def test_every_optimizer_trains_branches_as_kernels(optimizer, small_images):
    method = OPTIMIZERS[optimizer]
    ghosted = branched()
    ghosted.compile(method.make(method.learning_rate, 0.9, 1e-3), LOSS)
    before = [[kernel.numpy() for kernel in layer.kernels] for layer in ghosted.branch_layers()]
    ghosted.fit(*small_images, batch_size=20, verbose=0, callbacks=[tost.GhostSchedule(9)])
    for layer, old in zip(ghosted.branch_layers(), before, strict=True):
        mask = mask_of(layer.first_kernel).numpy()
        for kernel, start in zip(layer.kernels, old, strict=True):
            assert np.all(kernel.numpy()[mask == 0] == 0) and np.all(kernel.numpy()[mask == 1] != start[mask == 1])
            if optimizer in ("orthogonal", "lars"):
                length = np.linalg.norm(kernel.numpy() - start) / np.linalg.norm(start)
                assert length == pytest.approx(method.learning_rate, rel=0.01)  # a little less where the norm is kept


def test_merging_clears_the_state_of_what_is_merged(small_images):
    ghosted = branched()
    ghosted.compile(CoupledSGD(0.05), LOSS)
    ghosted.optimizer.tweak = OPTIMIZER_TWEAKS["s2_sam"]
    ghosted.fit(*small_images, verbose=0, callbacks=[tost.GhostSchedule(9)])
    optimizer, layer = ghosted.optimizer, ghosted.branch_layers()[0]
    logits = prunable_weights(ghosted.plain)["logits/kernel"]
    kept = optimizer.momentum_of(logits).numpy()
    place = {id(weight): number for number, weight in enumerate(ghosted.trainable_weights)}
    last = optimizer.last_gradients[place[id(layer.first_kernel)]]
    assert np.any(optimizer.momentum_of(layer.first_kernel)) and np.any(last)
    ghosted.remove_ghosts(small_images[0])
    for variable in (layer.first_kernel, layer.normalization.gamma, layer.normalization.beta):
        assert not np.any(optimizer.momentum_of(variable))
    assert not np.any(last)
    np.testing.assert_array_equal(optimizer.momentum_of(logits), kept)
    assert np.any(kept)


def test_the_schedule_merges_with_the_images_of_fit(small_images):
    ghosted, by_hand = branched(), branched()
    by_hand.set_weights(ghosted.get_weights())
    for model in (ghosted, by_hand):
        model.compile("adam", LOSS)
    by_hand.fit(*small_images, epochs=2, shuffle=False, verbose=0, callbacks=[tost.GhostSchedule(9)])
    by_hand.remove_ghosts(small_images[0])
    by_hand.fit(*small_images, epochs=3, initial_epoch=2, shuffle=False, verbose=0)
    ghosted.fit(*small_images, epochs=3, shuffle=False, verbose=0, callbacks=[tost.GhostSchedule(2)])
    assert not ghosted.ghosts_active and ghosted.merges == by_hand.merges == 1
    for one, other in zip(ghosted.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_with_the_other_ghosts(small_images):
    ghosted = branched(neurons="pswish", skips="projection", skip_initializer="he_normal")
    kinds = {(ghost.layer, ghost.kind) for ghost in ghosted.ghosts}
    assert {("conv", "2 branches"), ("depthwise", "projection"), ("relu2", "pswish")} < kinds
    for part in ghosted.submodules:
        if isinstance(part, tost.GhostSkip):
            part.alpha.assign(0)
        if isinstance(part, tost.GhostActivation):
            part.beta.assign(1e6)
    before = ghosted(small_images[0])
    ghosted.remove_ghosts()
    np.testing.assert_allclose(ghosted(small_images[0]), before, atol=1e-5)


def test_plain_loss_is_that_of_the_branches_together(small_images):
    images, labels = small_images
    ghosted = branched(neurons="pswish")
    loss = PlainLoss(ghosted, images, labels)
    for weight in ghosted.trainable_weights:
        weight.assign(1.1 * weight + 0.03)
    for part in ghosted.submodules:
        if isinstance(part, tost.GhostActivation):
            part.beta.assign(1e6)
    found, before = loss(), ghosted.get_weights()
    expected = float(LOSS(labels, ghosted.ghosted(images, training=True)))
    assert found == pytest.approx(expected, rel=1e-4)
    assert float(LOSS(labels, ghosted.plain(images, training=True))) != pytest.approx(expected, rel=1e-2)
    assert len(before) == len(ghosted.weights)


def test_penalties_and_constraints_of_kernels_are_those_of_branches(small_images):
    model = small(kernel_regularizer=keras.regularizers.L2(0.3), kernel_constraint=keras.constraints.MaxNorm(0.1))
    ghosted = branched(model)
    layer = ghosted.branch_layers()[0]
    squares = sum(float(tf.reduce_sum(kernel**2)) for kernel in layer.kernels)
    assert sum(map(float, ghosted.losses)) == pytest.approx(0.3 * squares, rel=1e-5)
    ghosted.compile("sgd", LOSS)
    ghosted.fit(*small_images, verbose=0, callbacks=[tost.GhostSchedule(9)])
    assert all(float(tf.reduce_max(tf.norm(tf.reshape(k, (-1, 3)), axis=0))) < 0.3 for k in layer.new_kernels)


@pytest.mark.parametrize("precision", [exhaustive("mixed_bfloat16"), "mixed_float16"])
def test_mixed_precision(precision, small_images):
    from tost_tf.graph.precision import in_precision

    ghosted = branched(in_precision(small(), precision.removeprefix("mixed_")))
    optimizer = keras.mixed_precision.LossScaleOptimizer(CoupledSGD(0.05))
    ghosted.compile(optimizer, LOSS)
    ghosted.fit(*small_images, verbose=0, callbacks=[tost.GhostSchedule(9)])
    before = np.array(ghosted(small_images[0]))
    ghosted.remove_ghosts()
    np.testing.assert_allclose(ghosted(small_images[0]), before, atol=0.1 * np.abs(before).max())
    assert not np.any(optimizer.inner_optimizer.momentum_of(ghosted.branch_layers()[0].first_kernel))


def test_on_two_replicas(two_replicas, small_images):
    with two_replicas.scope():
        ghosted = branched(neurons="pswish")
        ghosted.compile(CoupledSGD(0.05), LOSS)
        loss = PlainLoss(ghosted, *small_images)
        data = tf.data.Dataset.from_tensor_slices(small_images).batch(10)
        ghosted.fit(data, epochs=2, verbose=0, callbacks=[tost.GhostSchedule(9)])
        assert np.isfinite(loss())
        for part in ghosted.submodules:
            if isinstance(part, tost.GhostActivation):
                part.beta.assign(1e6)
        # In a step each replica has statistics of its own; what is merged and kept is their mean.
        bring_up_to_date(ghosted.ghosted, some_inputs(data))
        before = np.array(ghosted.ghosted(small_images[0]))
        ghosted.fit(data, epochs=3, initial_epoch=2, verbose=0, callbacks=[_MergeFirst(before, small_images[0])])
    assert not ghosted.unmerged_branches()
    for variable in ghosted.plain.trainable_variables:
        first, second = (part.numpy() for part in variable.values)
        np.testing.assert_array_equal(first, second)


class _MergeFirst(keras.callbacks.Callback):
    """Merges within `fit`, and sees that nothing changes."""

    fades_ghosts = True

    def __init__(self, before, images):
        super().__init__()
        self.before, self.images = before, images

    def on_epoch_begin(self, epoch, logs=None):
        self.model.remove_ghosts()
        np.testing.assert_allclose(self.model.plain(self.images), self.before, atol=1e-5)


def test_ghosts_that_come_back_go_on_from_the_merged_network(small_images):
    ghosted = branched()
    ghosted.compile("sgd", LOSS)
    ghosted.fit(*small_images, verbose=0, callbacks=[tost.GhostSchedule(9)])
    ghosted.remove_ghosts()
    merged = np.array(ghosted(small_images[0]))
    ghosted.restore_ghosts()
    assert len(ghosted.unmerged_branches()) == 3
    np.testing.assert_allclose(ghosted(small_images[0]), merged, atol=1e-5)
    ghosted.fit(*small_images, verbose=0, callbacks=[tost.GhostSchedule(9)])
    assert np.any(ghosted.branch_layers()[0].new_normalizations[0].gamma.numpy() != 0)
    before = np.array(ghosted(small_images[0]))
    ghosted.remove_ghosts()
    np.testing.assert_allclose(ghosted(small_images[0]), before, atol=1e-5)
    assert ghosted.merges == 2


def test_an_average_of_weights_starts_again_where_branches_are_merged(small_images):
    ghosted, average = branched(), tost.WeightAverage(0.9)
    ghosted.compile(keras.optimizers.SGD(0.0), LOSS)
    ghosted.fit(*small_images, epochs=3, verbose=0, callbacks=[tost.GhostSchedule(2), average])
    kernel = ghosted.branch_layers()[0].first_kernel.numpy()
    average.put_back()
    np.testing.assert_allclose(ghosted.branch_layers()[0].first_kernel.numpy(), kernel, rtol=1e-5)


def test_what_is_left_alone():
    def places(*between, head=(), norm=None):
        image = keras.Input((6, 6, 2))
        x = layers.Conv2D(3, 3, **dict(head))(image)
        for layer in between:
            x = layer(x)
        return branch_places(keras.Model(image, (norm or layers.BatchNormalization())(x)))

    assert len(places()) == 1
    assert not places(layers.ReLU())
    assert not places(head={"activation": "relu"})
    assert not places(head={"trainable": False})
    assert not places(norm=layers.BatchNormalization(scale=False))
    assert not places(norm=layers.BatchNormalization(center=False))
    assert not places(norm=layers.BatchNormalization(axis=1))
    assert not places(norm=layers.BatchNormalization(trainable=False))

    class Own(layers.Conv2D):
        pass

    image = keras.Input((6, 6, 2))
    assert not branch_places(keras.Model(image, layers.BatchNormalization()(Own(3, 3)(image))))
    conv, norm = layers.Conv2D(2, 3, padding="same"), layers.BatchNormalization()
    assert not branch_places(keras.Model(image, layers.BatchNormalization()(conv(norm(conv(image))))))
    x = conv(image)
    assert not branch_places(keras.Model(image, [norm(x), x]))
    assert not branch_places(keras.Model(image, layers.Add()([norm(x), x])))
    assert not branch_places(keras.Model(image, norm(x, training=False)))
    separable = layers.SeparableConv2D(3, 3)(image)
    assert not branch_places(keras.Model(image, layers.BatchNormalization()(separable)))


def test_nested_models(small_images):
    inner = keras.Sequential(
        [layers.Conv2D(3, 3, name="inside", input_shape=(6, 6, 2)), layers.BatchNormalization(), layers.ReLU()]
    )
    image = keras.Input((6, 6, 2))
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(inner(image))))
    ghosted = branched(model)
    before = np.array(ghosted(small_images[0]))
    assert [ghost.layer for ghost in ghosted.ghosts] == ["inside"]
    ghosted.remove_ghosts()
    np.testing.assert_allclose(ghosted(small_images[0]), before, atol=1e-5)


def test_bad_input(small_model, small_images):
    image = keras.Input((6, 6, 2))
    bare = keras.Model(image, layers.Dense(4)(layers.ReLU()(layers.Conv2D(3, 3)(image))), name="bare")
    with pytest.raises(TostError, match="branches=2 needs a convolution or Dense .* bare has none: leave branches out"):
        tost.GhostModel(bare, branches=2)
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(TostError, match="branches is .*, it must be (a whole number, )?at least 1"):
            tost.GhostModel(small_model, branches=wrong)
    ghosted = branched()
    with pytest.raises(TostError, match="are still in use"):
        tost.strip(ghosted)
    with pytest.raises(TostError, match="rescale_init scales .* before the branches are added"):
        tost.rescale_init(ghosted, [small_images], steps=1)
    ghosted.compile("sgd", LOSS)
    with pytest.raises(TostError, match="RigL changes masks.* branches"):
        ghosted.fit(*small_images, verbose=0, callbacks=[tost.GhostSchedule(9), tost.RigL(update_every=1)])


def test_some_inputs(small_images):
    images, labels = small_images
    assert [len(batch) for batch in some_inputs((np.zeros((300, 2)), None))] == [128, 128, 44]
    assert sum(len(batch) for batch in some_inputs((np.zeros((5000, 2)), None))) == 2048
    dataset = tf.data.Dataset.from_tensor_slices(small_images).batch(8)
    np.testing.assert_array_equal(np.concatenate(list(some_inputs(dataset))), images)
    assert not list(some_inputs(None)) and not list(some_inputs(iter([(images, labels)])))
