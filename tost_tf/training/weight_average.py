"""An exponential average of the weights, which is what is validated, and what training ends with."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from tost_tf.compat import keras, tf
from tost_tf.masks.wrapper import mask_of
from tost_tf.ranges import require_number
from tost_tf.steps import require_single_steps

STATISTICS = ("moving_mean", "moving_variance")


class WeightAverage(keras.callbacks.Callback):
    """Averages the weights over the steps: a ← d·a + (1 - d)·w after each (Polyak and Juditsky 1992, exponentially).

    After n steps d is at most (1 + n) / (10 + n), as in TensorFlow's `ExponentialMovingAverage`, so that the first
    weights are soon forgotten. The statistics of BatchNormalization are averaged too. An average is masked as its
    weight is, also where the mask has changed. During validation, and when training has ended, the model has the
    averages; training goes on from the weights themselves, unless others were set since. `ModelCheckpoint` saves the
    weights themselves, also where it chooses the epoch by the validation of the averages. Where a `GhostModel` merges
    its branches into other weights, the averages start again.

    Args:
      decay: d, at least 0 and below 1.

    Raises:
      TostError: `decay` is out of range.

    Examples:
      >>> model.compile("sgd", loss)
      >>> history = model.fit(images, labels, verbose=0, callbacks=[tost.WeightAverage(decay=0.99)])
    """

    def __init__(self, decay: float = 0.999):
        super().__init__()
        require_number("decay", decay, minimum=0, below=1)
        self.decay = float(decay)
        self.state = tf.Module(name="weight_average")  # for checkpoints
        self._is_in_use = False
        self._stays = False  # in use before validation, too
        self._left: bytes | None = None  # what the model was left with when training ended
        self._of: keras.Model | None = None

    def get_config(self) -> dict:
        """All arguments."""
        return {"decay": self.decay}

    def set_model(self, model: keras.Model) -> None:
        """Starts the averages of a model at its weights as they are, unless there are some of this model."""
        super().set_model(model)
        if model is self._of:
            return
        self._of, self._weights = model, averaged_weights(model)
        self._merges = getattr(model, "merges", 0)
        self.state.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.state.averages = [tf.Variable(weight, dtype=weight.dtype, trainable=False) for weight in self._weights]
        pairs = list(zip(self._weights, self.state.averages, strict=True))

        @tf.function
        def update() -> None:
            steps = tf.cast(self.state.steps, tf.float32)
            decay = tf.minimum(self.decay, (1 + steps) / (10 + steps))
            self.state.steps.assign_add(1)
            for weight, average in pairs:
                value = tf.convert_to_tensor(weight)
                now = tf.convert_to_tensor(average)
                average.assign(_masked(now + (1 - tf.cast(decay, now.dtype)) * (value - now), weight))

        @tf.function
        def restart() -> None:
            for weight, average in pairs:
                average.assign(weight)

        @tf.function
        def exchange() -> None:
            for weight, average in pairs:
                value = tf.identity(weight)
                weight.assign(_masked(tf.identity(average), weight))
                average.assign(value)

        self._update, self._restart, self._exchange = update, restart, exchange

    def use(self) -> None:
        """Gives the model the averages; the weights are kept."""
        if not self._is_in_use:
            self._exchange()
            self._is_in_use = True

    def put_back(self) -> None:
        """Gives the model its weights again."""
        if self._is_in_use:
            self._exchange()
            self._is_in_use = False

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """The model has the averages as long as the block lasts."""
        self.use()
        try:
            yield
        finally:
            self.put_back()

    def on_train_begin(self, logs=None):
        require_single_steps(self)
        if self._is_in_use and self._left not in (None, self._digest()):
            # Others were set since: neither the averages nor what they were made of is what training starts from.
            self._is_in_use = False
            self._restart()
            self.state.steps.assign(0)
        self.put_back()
        self._left = None

    def on_train_batch_end(self, batch, logs=None):
        merges = getattr(self.model, "merges", 0)
        if merges == self._merges:
            self._update()
        else:
            self._restart()
            self._merges = merges

    def on_test_begin(self, logs=None):
        self._stays = self._is_in_use
        self.use()

    def on_test_end(self, logs=None):
        if not self._stays:
            self.put_back()

    def on_train_end(self, logs=None):
        self.use()
        self._left = self._digest()

    def _digest(self) -> bytes:
        """One number that is another for any other weights."""
        found = hashlib.blake2b()
        for weight in self._weights:
            found.update(weight.numpy().tobytes())
        return found.digest()


def averaged_weights(model: keras.Model) -> list[tf.Variable]:
    """The trainable weights of a model, of both views of a `GhostModel`, and the statistics of BatchNormalization."""
    views = [getattr(model, "plain", model), getattr(model, "ghosted", model)]
    weights = [weight for view in views for weight in view.trainable_weights]
    for view in views:
        for layer in view.submodules:
            weights += [
                getattr(layer, name) for name in STATISTICS if isinstance(getattr(layer, name, None), tf.Variable)
            ]
    return list({id(weight): weight for weight in weights}.values())


def _masked(values: tf.Tensor, weight: tf.Variable) -> tf.Tensor:
    mask = mask_of(weight)
    return values if mask is None else tf.where(mask > 0, values, tf.zeros_like(values))
