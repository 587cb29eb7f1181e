import numpy as np
import pytest

from tost_tf.compat import keras
from tost_tf.training.learning_rate import cosine
from tost_tf.training.optimizer import CoupledSGD
from tost_tf.training.rate_by_progress import RateByProgress


def test_cosine():
    assert [cosine(progress) for progress in (0, 1 / 3, 0.5, 1)] == pytest.approx([1, 0.75, 0.5, 0])


class Rates(keras.callbacks.Callback):
    """The learning rate of every step."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


def fitted(first: int, last: int):
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
    model.compile(CoupledSGD(0.9), "mse")
    seen = Rates()
    callbacks = [RateByProgress(cosine, 0.3, steps=6, steps_per_epoch=2), seen]
    history = model.fit(
        np.ones((4, 2)), np.ones((4, 1)), 2, last, initial_epoch=first, callbacks=callbacks, verbose=0
    ).history
    return seen.rates, history["lr"]


def test_every_step_has_its_rate_and_after_the_last_it_is_left_to_others():
    rates, by_epoch = fitted(0, 4)
    expected = [0.3 * (1 + np.cos(np.pi * step / 6)) / 2 for step in range(6)]
    assert rates == pytest.approx([*expected, expected[-1], expected[-1]], rel=1e-6)
    assert by_epoch == pytest.approx([rates[1], rates[3], rates[5], rates[5]])


def test_it_depends_on_the_step_alone():
    assert fitted(1, 3)[0] == fitted(0, 3)[0][2:]
