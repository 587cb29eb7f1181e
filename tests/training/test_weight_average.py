import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.masks.sparsify import masked_kernels
from tost_tf.training.weight_average import averaged_weights

LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def one_weight():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, name="dense")(inputs))
    model.set_weights([np.float32([[2.0]])])
    return model


class Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.training, self.validation = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.training.append(float(self.model.get_weights()[0][0, 0]))

    def on_test_batch_end(self, batch, logs=None):
        self.validation.append(float(self.model.get_weights()[0][0, 0]))


def test_average_by_hand():
    model, record, average = one_weight(), Record(), tost.WeightAverage(0.15)
    model.compile(keras.optimizers.SGD(0.1), lambda labels, outputs: outputs**2)
    one = np.ones((1, 1), np.float32)
    fit = {"validation_data": (one, one), "epochs": 2, "verbose": 0, "callbacks": [average, record]}
    model.fit(one, one, **fit)
    weights = [2 * 0.8, 2 * 0.64]  # a step takes w · 0.2 off
    first = 0.1 * 2 + 0.9 * weights[0]  # (1 + 0) / (10 + 0) is below 0.15
    second = 0.15 * first + 0.85 * weights[1]  # (1 + 1) / (10 + 1) is not
    np.testing.assert_allclose(record.training, weights, rtol=1e-6)
    np.testing.assert_allclose(record.validation, [first, second], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[0], second, rtol=1e-6)
    model.fit(one, one, **fit)  # goes on from the weights, not from their average
    np.testing.assert_allclose(record.training[2:], [2 * 0.8**3, 2 * 0.8**4], rtol=1e-6)


def test_weights_that_were_set_since_are_trained_on():
    model, record, average = one_weight(), Record(), tost.WeightAverage(0.15)
    model.compile(keras.optimizers.SGD(0.1), lambda labels, outputs: outputs**2)
    one = np.ones((1, 1), np.float32)
    model.fit(one, one, epochs=3, verbose=0, callbacks=[average])
    model.set_weights([np.float32([[7.0]])])
    model.fit(one, one, verbose=0, callbacks=[average, record])
    np.testing.assert_allclose(record.training, [7 * 0.8], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[0], 0.1 * 7 + 0.9 * 7 * 0.8, rtol=1e-6)  # the averages start anew


def test_averages_are_masked_as_weights_are_also_where_masks_change(small_model, small_images):
    model = tost.GhostModel(tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.6)))
    model.compile("sgd", LOSS)
    average = tost.WeightAverage(0.9)
    model.fit(*small_images, batch_size=5, epochs=2, verbose=0, callbacks=[average])
    kernels = masked_kernels(model.plain)
    assert all(not masked.kernel.numpy()[masked.mask.numpy() == 0].any() for masked in kernels.values())
    average.put_back()
    masked = kernels["conv1/kernel"]
    masked.mask.assign(tf.zeros_like(masked.mask))
    average.use()
    assert not masked.kernel.numpy().any() and kernels["stem/kernel"].kernel.numpy().any()


def test_what_is_averaged(small_model):
    model = tost.GhostModel(small_model, skips="projection")
    names = sorted(weight.name.rpartition("/")[2].split(":")[0] for weight in averaged_weights(model))
    # 5 kernels of the model, one depthwise, 2 of projections; 4 with a bias; 2 + 2 BatchNormalizations.
    assert names.count("kernel") == 6 and names.count("depthwise_kernel") == 1
    assert names.count("moving_mean") == names.count("moving_variance") == names.count("gamma") == 4
    assert not {"alpha", "varies", "mask", "step"} & set(names)


def test_on_two_replicas(two_replicas, small_model, small_images):
    def trained(strategy):
        keras.utils.set_random_seed(3)
        with strategy.scope():
            inputs = keras.Input((6, 6, 2))
            outputs = keras.layers.Dense(4, name="logits")(keras.layers.Flatten()(inputs))
            model = tost.GhostModel(keras.Model(inputs, outputs), "none", "none")
            model.compile("sgd", LOSS)
        model.fit(*small_images, batch_size=10, epochs=3, shuffle=False, verbose=0, callbacks=[tost.WeightAverage(0.9)])
        return model.get_weights()

    for one, other in zip(trained(tf.distribute.get_strategy()), trained(two_replicas), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_decay_out_of_range_is_refused():
    with pytest.raises(TostError, match=r"decay is 1, it must be at least 0 and below 1"):
        tost.WeightAverage(1)
    assert tost.WeightAverage(0.3).get_config() == {"decay": 0.3}


def test_evaluation_after_training_leaves_the_averages():
    model, average = one_weight(), tost.WeightAverage(0.15)
    model.compile(keras.optimizers.SGD(0.1), lambda labels, outputs: outputs**2)
    one = np.ones((1, 1), np.float32)
    model.fit(one, one, epochs=3, verbose=0, callbacks=[average])
    before = model.get_weights()
    model.evaluate(one, one, verbose=0, callbacks=[average])
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_several_steps_at_once_are_refused():
    model = one_weight()
    model.compile("sgd", "mse", steps_per_execution=3)
    with pytest.raises(TostError, match="WeightAverage acts after single steps, .* steps_per_execution=3"):
        model.fit(np.ones((6, 1)), np.ones((6, 1)), batch_size=1, verbose=0, callbacks=[tost.WeightAverage()])
