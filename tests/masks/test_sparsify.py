import numpy as np
import pytest
import tensorflow_model_optimization as tfmot

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.sparsify import masks_of, strip
from tost_tf.masks.wrapper import FixedMask
from tost_tf.training.optimizer import CoupledSGD


def assert_masked(model, masks):
    for path, weight in prunable_weights(model).items():
        np.testing.assert_array_equal(weight.numpy()[masks[path] == 0], 0, err_msg=path)


def test_sparse_model_computes_with_masked_weights_and_leaves_the_original(small_model, small_images):
    before = [weight.copy() for weight in small_model.get_weights()]
    masks = tost.masks.random(small_model, sparsity=0.6)
    sparse = tost.sparsify(small_model, masks)
    for weight, old in zip(small_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    for path, weight in prunable_weights(small_model).items():
        weight.assign(weight * masks[path])
    np.testing.assert_array_equal(sparse(small_images[0]), small_model(small_images[0]))


def test_all_ones_masks_change_nothing(small_model, small_images):
    masks = tost.masks.random(small_model, sparsity=0.0)
    np.testing.assert_array_equal(tost.sparsify(small_model, masks)(small_images[0]), small_model(small_images[0]))


def test_masks_can_be_read_back(small_model):
    masks = tost.masks.random(small_model, sparsity=0.6)
    again = masks_of(tost.sparsify(small_model, masks))
    assert list(again) == list(masks)
    assert all(np.array_equal(again[path], masks[path]) for path in masks)


def test_weights_stay_masked_in_steps_checkpoints_and_evaluation(small_model, small_images, tmp_path):
    masks = tost.masks.random(small_model, sparsity=0.6)
    sparse = tost.sparsify(small_model, masks)
    sparse.compile(CoupledSGD(0.1, 0.9, 0.01), keras.losses.CategoricalCrossentropy(from_logits=True))
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert_masked(sparse, masks)
            seen.append(batch)

        def on_test_batch_begin(self, batch, logs=None):
            assert_masked(sparse, masks)

    sparse.fit(*small_images, batch_size=8, epochs=2, verbose=0, callbacks=[Look()], validation_data=small_images)
    assert len(seen) == 6
    tf.train.Checkpoint(model=sparse).write(str(tmp_path / "checkpoint"))
    reader = tf.train.load_checkpoint(str(tmp_path / "checkpoint"))
    kernels = [name for name in reader.get_variable_to_shape_map() if "kernel/.ATTRIBUTES" in name]
    zeros = sum(int(np.sum(reader.get_tensor(name) == 0)) for name in kernels)
    assert len(kernels) == len(masks) and zeros == masks.size - masks.kept


def test_weights_stay_masked_on_two_replicas(small_model, small_images, two_replicas):
    assert two_replicas.num_replicas_in_sync == 2
    masks = tost.masks.random(small_model, sparsity=0.6)
    with two_replicas.scope():
        sparse = tost.sparsify(small_model, masks)
        sparse.compile(CoupledSGD(0.1, 0.9, 0.01), keras.losses.CategoricalCrossentropy(from_logits=True))
    before = {path: weight.numpy() for path, weight in prunable_weights(sparse).items()}
    for _ in range(3):
        sparse.fit(*small_images, batch_size=10, epochs=1, verbose=0)
        for path, weight in prunable_weights(sparse).items():
            first, second = (replica.numpy() for replica in weight.values)
            np.testing.assert_array_equal(first, second)
            np.testing.assert_array_equal(first[masks[path] == 0], 0)
            assert np.any(first != before[path])


def test_stripped_models_are_the_original_ones(small_model, small_images):
    masks = tost.masks.random(small_model, sparsity=0.6)
    sparse = tost.sparsify(small_model, masks)
    for plain in (strip(sparse), tfmot.sparsity.keras.strip_pruning(sparse)):
        assert [layer.name for layer in plain.layers] == [layer.name for layer in small_model.layers]
        assert plain.get_config() == small_model.get_config()
        np.testing.assert_array_equal(plain(small_images[0]), sparse(small_images[0]))
        assert_masked(plain, masks)


def test_unwrapped_model_shares_nothing_and_has_no_constraint(small_model):
    sparse = tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.6))
    plain = strip(sparse)
    assert not {id(weight) for weight in plain.weights} & {id(weight) for weight in sparse.weights}
    assert all(weight.constraint is None for weight in plain.trainable_weights)


@pytest.mark.parametrize("kind", ["sequential", "nested", "shared", "several"])
def test_other_kinds_of_models(kind, small_model):
    layers = keras.layers
    if kind == "sequential":
        model = keras.Sequential([layers.Conv2D(3, 3, input_shape=(6, 6, 2)), layers.Flatten(), layers.Dense(2)])
    elif kind == "nested":
        image = keras.Input((6, 6, 2))
        inner = keras.Sequential([layers.Dense(5, input_shape=(4,)), layers.ReLU()], name="inner")
        model = keras.Model(image, layers.Dense(2)(inner(small_model(image))))
    elif kind == "shared":
        image, dense = keras.Input((3,)), layers.Dense(3)
        model = keras.Model(image, dense(layers.ReLU()(dense(image))))
    else:
        one, two = keras.Input((3,), name="one"), keras.Input((2,), name="two")
        joined = layers.Dense(4)(layers.Concatenate()([one, two]))
        model = keras.Model([one, two], [layers.Dense(2)(joined), joined])
    inputs = [tf.random.normal((2, *tensor.shape[1:])) for tensor in model.inputs]
    inputs = inputs if len(inputs) > 1 else inputs[0]
    masks = tost.masks.random(model, sparsity=0.4)
    sparse = tost.sparsify(model, masks)
    for path, weight in prunable_weights(model).items():
        weight.assign(weight * masks[path])
    for result in (sparse, strip(sparse)):
        for mine, expected in zip(tf.nest.flatten(result(inputs)), tf.nest.flatten(model(inputs)), strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-6)
    assert not any(isinstance(layer, FixedMask) for layer in strip(sparse).submodules)
    assert masks_of(sparse).sparsity == masks.sparsity


def test_frozen_layers_stay_frozen(small_model):
    small_model.get_layer("conv1").trainable = False
    sparse = tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.6))
    assert len(sparse.trainable_weights) == len(small_model.trainable_weights)
    assert len(strip(sparse).trainable_weights) == len(small_model.trainable_weights)


def test_masks_of_another_model_are_refused(small_model):
    masks = tost.masks.random(small_model, sparsity=0.6)
    other = keras.Sequential([keras.layers.Dense(2, input_shape=(3,), name="logits")])
    with pytest.raises(TostError, match="stem/kernel is not a prunable weight of the model"):
        tost.sparsify(other, masks)
    with pytest.raises(TostError, match="conv1/kernel is missing"):
        tost.sparsify(small_model, tost.Masks({path: masks[path] for path in masks if "conv1" not in path}))


def test_models_of_other_kinds_are_refused_in_one_sentence(small_model):
    import keras as keras_3

    masks = tost.masks.random(small_model, sparsity=0.6)

    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    class SubclassedKeras3(keras_3.Model):
        pass

    keras_3_model = keras_3.Sequential([keras_3.layers.Input((3,)), keras_3.layers.Dense(2)])
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    for model, message in (
        (Subclassed(), "is a subclassed model, .* write it with the functional API"),
        (keras_3_model, "is a Keras 3 model, .* with `tost_tf.from_keras3"),
        (SubclassedKeras3(), "is a Keras 3 model"),
        (unbuilt, "has no input shape yet"),
        ("resnet", "expected a functional or Sequential tf_keras model, got an object of type builtins.str"),
    ):
        with pytest.raises(TostError, match=message):
            tost.sparsify(model, masks)
        with pytest.raises(TostError, match=message):
            tost.GhostModel(model)


def test_frozen_nested_models_stay_frozen(small_model):
    small_model.trainable = False
    image = keras.Input((6, 6, 2))
    model = keras.Model(image, keras.layers.Dense(2, name="head")(small_model(image)))
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.4))
    assert len(model.trainable_weights) == len(sparse.trainable_weights) == len(strip(sparse).trainable_weights) == 2


def test_weights_set_in_the_model_are_masked_when_it_is_stripped(small_model):
    masks = tost.masks.random(small_model, sparsity=0.6)
    sparse = tost.sparsify(small_model, masks)
    sparse.set_weights(
        [
            np.full(weight.shape, 3.0) if "mask" not in name else weight.numpy()
            for name, weight in ((w.name.split("/")[-1], w) for w in sparse.weights)
        ]
    )
    assert_masked(tost.strip(sparse), masks)
