"""Graphs of the library's own, in which a model with ghosts does not choose between its views."""

from __future__ import annotations

import contextlib

from tost_tf.compat import keras


def one_view(model: keras.Model) -> contextlib.AbstractContextManager[None]:
    """In its block, a graph that is traced computes only the view of a `GhostModel` that is in use.

    Elsewhere it has a `tf.cond` between both, which costs the tracing of the other and has no second derivative.

    Args:
      model: any model; only a `GhostModel` has views.
    """
    return getattr(model, "one_view", contextlib.nullcontext)()
