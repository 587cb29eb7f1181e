"""Steps of training with masks, against NumPy."""

import numpy as np
import pytest

import tost_tf as tost
from tests.parity import masked_network as reference
from tests.parity.masked_keras_network import arrays_of, assert_near, double_precision, keras_network
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.network import add_ghosts_and_compile
from tost_tf.graph.kernels import prunable_layers
from tost_tf.masks.masks import Masks

RATES = (0.3, 0.3, 0.07)  # the learning rate drops before the third step
OPTIONS = {"momentum": 0.8, "weight_decay": 0.01, "label_smoothing": 0.2}
SEED = 3


def referenced(**changed) -> tuple[reference.MaskedTraining, list[float]]:
    """Three steps in NumPy, with other numbers if they are given."""
    numbers = {"factor": 0.8, "decay": 0.01, "smoothing": 0.2} | changed
    scale = numbers.pop("scale", 1.0)
    masks = reference.initial_masks(SEED, 0.6)
    training = reference.MaskedTraining(*reference.initial_weights(SEED), masks, **numbers)
    losses = []
    for step, rate in enumerate(RATES):
        training.rate = scale * rate
        losses.append(training.step(*reference.examples(step, 7)))
    return training, losses


@pytest.fixture(scope="module")
def trained():
    """The network after three steps of the job's own model, and their losses."""
    with double_precision():
        dense = keras_network(*reference.initial_weights(SEED))
        config = RunConfig.make(dataset="digits", recipe="default", learning_rate=RATES[0], **OPTIONS)
        model = add_ghosts_and_compile(config, dense, Masks(reference.initial_masks(SEED, 0.6)))
        losses = []
        for step, rate in enumerate(RATES):
            model.optimizer.learning_rate = rate
            losses.append(model.train_on_batch(*reference.examples(step, 7), reset_metrics=True)[0])
    return model, losses


def test_the_reference_is_derived_right():
    """Every derivative by hand against differences of the loss."""
    weights, _ = reference.initial_weights(SEED)
    images, labels = reference.examples(1, 5)
    _, gradients, _ = reference.loss_and_gradients(weights, images, labels, 0.2)
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        for index in np.ndindex(gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = weights[name].copy()
                moved[index] += sign * 1e-6
                ends.append(reference.loss_and_gradients(weights | {name: moved}, images, labels, 0.2)[0])
            assert gradient[index] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8 * largest), (name, index)


def test_losses_weights_and_statistics_after_three_steps(trained):
    model, losses = trained
    training, expected = referenced()
    assert losses == pytest.approx(expected, rel=1e-12)
    found = arrays_of(tost.strip(model, ghosts="remove"))
    assert_near({name: found[name] for name in training.weights}, training.weights)
    # Keras rounds the momentum of moving statistics to float32.
    assert_near({name: found[name] for name in training.statistics}, training.statistics, 1e-8)


def test_pruned_weights_are_zero_and_momenta_those_of_the_kept(trained):
    model, _ = trained
    training, _ = referenced()
    for path, layer in prunable_layers(model.plain):
        mask = training.masks[f"{path}/kernel"]
        assert not layer.kernel.numpy()[mask == 0].any()
        momentum = model.optimizer.momentum_of(layer.kernel).numpy()
        assert_near({path: momentum * mask}, {path: training.momenta[f"{path}/kernel"] * mask})


@pytest.mark.parametrize(
    "changed",
    [{"scale": 1 + 1e-6}, {"factor": 0.8 * (1 + 1e-6)}, {"decay": 0.01 * (1 + 1e-6)}, {"smoothing": 0.2000002}],
)
def test_an_error_of_a_millionth_is_seen(trained, changed):
    training, _ = referenced(**changed)
    found = arrays_of(tost.strip(trained[0], ghosts="remove"))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_near({name: found[name] for name in training.weights}, training.weights)
