"""The view that is used in a graph traced by a user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.compat.losses import losses_of_calls, losses_of_weights


class Switch:
    """The choice between two views of a model, as a part of graphs that are not traced again when the choice changes.

    The graphs of `fit`, `evaluate` and `predict` are traced again, and contain only one view. A user's step may have
    been traced while there were ghosts; in it the choice is a variable, and only the chosen view computes.

    Args:
      variable: whether the ghosted view is chosen, a scalar of type bool.
    """

    def __init__(self, variable: tf.Variable):
        self.variable = variable
        self._depth = 0
        self._losses: dict[int, list[tf.Tensor]] = {}

    def set(self, ghosted: bool) -> None:
        """Chooses the ghosted view, or the plain one."""
        self.variable.assign(ghosted)

    @contextlib.contextmanager
    def not_needed(self) -> Iterator[None]:
        """For code whose traced graphs are traced again when the choice changes."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def is_needed(self) -> bool:
        """Whether a user's graph is being traced."""
        return not (self._depth or tf.executing_eagerly())

    def call(self, ghosted: keras.Model, plain: keras.Model, inputs: Any, training: Any) -> Any:
        """The outputs of the view that is chosen at the time the graph runs."""

        def through(view: keras.Model) -> tuple[Any, tf.Tensor]:
            outputs = view(inputs, training=training)
            # Tensors of a branch cannot be used outside of it, so the branch also returns the losses that layers added.
            added = [tf.cast(loss, tf.float32) for loss in losses_of_calls(view)]
            return outputs, tf.add_n([tf.zeros(()), *added])

        outputs, loss = tf.cond(self.variable, lambda: through(ghosted), lambda: through(plain))
        self._losses = {id(tf.compat.v1.get_default_graph()): [loss]}
        return outputs

    def losses(self, view: keras.Model) -> list[tf.Tensor]:
        """The losses added by a view, or by the chosen view in a graph that used `call`."""
        graph = None if tf.executing_eagerly() else id(tf.compat.v1.get_default_graph())
        return losses_of_weights(view) + self._losses[graph] if graph in self._losses else view.losses
