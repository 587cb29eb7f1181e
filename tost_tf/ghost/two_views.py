"""A model with two views of the same layers, of which one is in use."""

from __future__ import annotations

import contextlib

from tost_tf.compat import keras, tf
from tost_tf.compat.optimizers import build_optimizer
from tost_tf.ghost.switch import Switch


class TwoViews(keras.Model):
    """The base of `GhostModel`: which view is in use, the weights of both, and steps that are traced for one.

    A subclass calls `_set_views` once, when both views are made, and computes one of them in `call`.

    Attributes:
      plain: the view without ghosts.
      ghosted: the view with ghosts, which has all weights of `plain`.
    """

    plain: keras.Model
    ghosted: keras.Model

    def _set_views(self, plain: keras.Model, ghosted: keras.Model, has_ghosts: bool) -> None:
        """Starts with `ghosted` in use, or with `plain` if there is no ghost."""
        self.plain, self.ghosted = plain, ghosted
        self._has_ghosts = has_ghosts
        self._ghosts_active = has_ghosts  # the view in use, as Python knows it: see `_follow`
        start = keras.initializers.Constant(has_ghosts)
        self._switch = Switch(self.add_weight("ghosts_active", (), tf.bool, start, trainable=False))
        with self._switch.not_needed():
            self.build(plain.input_shape)

    @property
    def ghosts_active(self) -> bool:
        self._follow()
        return self._ghosts_active

    @property
    def view(self) -> keras.Model:
        """The view in use."""
        return self.ghosted if self.ghosts_active else self.plain

    def _use_ghosts(self, active: bool) -> None:
        self._switch.set(active)
        self._follow()

    def _follow(self) -> None:
        """Goes over to the view that the variable of the switch says, which loading weights may have changed."""
        if not tf.executing_eagerly():
            return
        active = bool(self._switch.variable.numpy())
        if active == self._ghosts_active:
            return
        self._ghosts_active = active
        self._trace_again()

    def _trace_again(self) -> None:
        # Keras keeps the traced steps of the other view: make it trace again where it has traced.
        if self.train_function is not None:
            self.make_train_function(force=True)
        if self.test_function is not None:
            self.make_test_function(force=True)
        if self.predict_function is not None:
            self.make_predict_function(force=True)

    def one_view(self) -> contextlib.AbstractContextManager[None]:
        """In its block, graphs that are traced compute the view in use only, and do not switch when the ghosts end."""
        return self._switch.not_needed()

    def make_train_function(self, force=False):
        self._follow()
        if self._has_ghosts and not self._ghosts_active and self.optimizer is not None:
            # For all weights that may be trained, should the ghosts come back.
            build_optimizer(self.optimizer, self.ghosted.trainable_weights)
        return super().make_train_function(force)

    def make_test_function(self, force=False):
        self._follow()
        return super().make_test_function(force)

    def make_predict_function(self, force=False):
        self._follow()
        return super().make_predict_function(force)

    def set_weights(self, weights):
        super().set_weights(weights)
        self._follow()

    def load_weights(self, filepath, *args, **kwargs):
        status = super().load_weights(filepath, *args, **kwargs)
        self._follow()
        return status

    # Only what the view in use computes with: a weight without a gradient would be warned about at every step. The
    # view is not looked up anew: an optimizer is made for both views' weights before a file's say which is in use.
    @property
    def trainable_weights(self) -> list[tf.Variable]:
        return (self.ghosted if self._ghosts_active else self.plain).trainable_weights

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        trainable = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in trainable]

    @property
    def weights(self) -> list[tf.Variable]:
        every = (*self.plain.weights, *self.ghosted.weights, self._switch.variable)
        return list({id(weight): weight for weight in every}.values())

    @property
    def losses(self) -> list[tf.Tensor]:
        return self._switch.losses(self.view)
