"""The rescaled initialisation against NumPy: one step of each kind, and some iterations as a user runs them.

That an error of a millionth is seen was tried by multiplying the gradients the code gives to Adam, the step's length
and Adam's constants in it by 1 + 1e-6.
"""

import numpy as np
import pytest

import tost_tf as tost
from tests.parity import reference
from tests.parity.keras_network import keras_network
from tost_tf.compat import keras, tf
from tost_tf.training.rescale import GradInit

GENERATOR = np.random.default_rng(12)
MASKS = {path: GENERATOR.integers(0, 2, reference.SHAPES[path]) for path in reference.KERNELS}
VALUES = {path: value * MASKS.get(path, 1) for path, value in reference.parameters(5).items()}
HALVES = [reference.examples(6, seed) for seed in (31, 32, 33, 34, 35)]
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)
ETA, GAMMA, LEARNING_RATE = 0.1, 1.0, 0.01


def sparse_network():
    model = keras_network(reference.parameters(5))
    return tost.sparsify(model, tost.Masks(MASKS))


def joined(one, other):
    return tuple(np.concatenate(pair) for pair in zip(one, other, strict=True))


def masked_gradients(values, images, labels):
    """Of the mean cross-entropy, those of pruned weights zero."""
    found = reference.gradients(values, images, labels)
    return {path: gradient / len(images) * MASKS.get(path, 1) for path, gradient in found.items()}


def norm(gradients):
    return np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))


def scaled(scales):
    return {path: value * scales[path] for path, value in VALUES.items()}


def norm_step(scales, first, second, fresh):
    """The derivative of the gradient norm by each scale."""
    batch = joined(first, second)
    return {
        path: reference.derivative(
            lambda values: norm(masked_gradients(values, *batch)), scaled(scales), {path: VALUES[path]}
        )
        for path in VALUES
    }


def loss_step(scales, first, second, fresh, normalise=True):
    """The derivative by each scale of the loss after a step, which does not move with the scales, over its size."""
    values = scaled(scales)
    step = masked_gradients(values, *joined(first, second))
    length = ETA / norm(step) if normalise else ETA
    after = {path: value - length * step[path] for path, value in values.items()}
    slopes = masked_gradients(after, *joined(first, fresh))
    return {path: (slopes[path] * VALUES[path]).sum() / ETA for path in VALUES}


def given_to_adam(gamma, normalise=True):
    search = GradInit(sparse_network(), LOSS, eta=ETA, gamma=gamma, normalise=normalise)
    given = []
    search._adam.step = lambda gradient, kind: given.append((gradient, kind))
    done = search.iterate(*[tuple(map(tf.constant, half)) for half in HALVES[:3]])
    (gradient, kind), *_ = given
    return dict(zip(search.names, gradient, strict=True)), kind, done


def assert_seen(found, expected):
    """Same, and with an error of a millionth not the same."""
    found, expected = ({path: np.array(value) for path, value in values.items()} for values in (found, expected))
    reference.assert_same(found, expected)
    with pytest.raises(AssertionError):
        reference.assert_same({path: value * (1 + 1e-6) for path, value in found.items()}, expected)


ONES = dict.fromkeys(VALUES, 1.0)


def test_norm_step():
    found, kind, done = given_to_adam(gamma=0.0)
    assert kind == done.kind == "norm"
    assert_seen(found, norm_step(ONES, *HALVES[:3]))
    batch = joined(*HALVES[:2])
    assert done.loss == pytest.approx(reference.losses(VALUES, *batch).mean(), rel=1e-10)
    assert done.gradient_norm == pytest.approx(norm(masked_gradients(VALUES, *batch)), rel=1e-10)


@pytest.mark.parametrize("normalise", [True, False])
def test_loss_step(normalise):
    found, kind, done = given_to_adam(gamma=1e9, normalise=normalise)
    assert kind == done.kind == "loss"
    assert_seen(found, loss_step(ONES, *HALVES[:3], normalise))


class Adam:
    """Of each kind of steps a first moment and a count, of both a second moment; gradients are clipped to 1."""

    def __init__(self):
        self.first = {kind: dict.fromkeys(VALUES, 0.0) for kind in ("norm", "loss")}
        self.second, self.counts = dict.fromkeys(VALUES, 0.0), {"norm": 0, "loss": 0}

    def step(self, scales, gradients, kind):
        self.counts[kind] += 1
        moved = {}
        for path, gradient in gradients.items():
            clipped = min(max(gradient, -1), 1)
            self.first[kind][path] = 0.9 * self.first[kind][path] + 0.1 * clipped
            self.second[path] = 0.999 * self.second[path] + 0.001 * clipped**2
            first = self.first[kind][path] / (1 - 0.9 ** self.counts[kind])
            second = self.second[path] / (1 - 0.999 ** sum(self.counts.values()))
            bound = 0.0 if path.endswith(("beta", "bias")) else 0.01
            moved[path] = max(scales[path] - LEARNING_RATE * first / (np.sqrt(second) + 1e-8), bound)
        return moved


def test_iterations_of_both_kinds():
    adam, scales, most = Adam(), dict(ONES), 0.0
    for start in range(0, 18, 3):
        halves = [HALVES[place % len(HALVES)] for place in range(start, start + 3)]
        is_large = norm(masked_gradients(scaled(scales), *joined(*halves[:2]))) > GAMMA
        gradients = (norm_step if is_large else loss_step)(scales, *halves)
        most = max(most, *map(abs, gradients.values()))
        scales = adam.step(scales, gradients, "norm" if is_large else "loss")
    assert min(adam.counts.values()) >= 2 and most > 1  # some are clipped
    model = sparse_network()
    found = tost.rescale_init(model, HALVES, steps=6, eta=ETA, gamma=GAMMA, learning_rate=LEARNING_RATE)
    # By how much they differ from 1, of which a millionth is to be seen.
    assert_seen({path: scale - 1 for path, scale in found.items()}, {path: scale - 1 for path, scale in scales.items()})
    for variable, path in zip(model.trainable_weights, VALUES, strict=True):
        np.testing.assert_allclose(variable, VALUES[path] * scales[path], rtol=1e-7)
