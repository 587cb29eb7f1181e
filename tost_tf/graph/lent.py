"""Lends a layer other values of its weights, as tensorflow-model-optimization's QuantizeWrapper does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any


@contextlib.contextmanager
def lent(values: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Inside the block, attributes of objects have other values: a layer computes with what its attribute is.

    Args:
      values: object, name of an attribute it has of its own, and value; read in the order given.
    """
    with contextlib.ExitStack() as undo:
        for holder, attribute, value in values:
            # Not by a normal assignment: Keras would search the new value for weights.
            undo.callback(vars(holder).__setitem__, attribute, vars(holder)[attribute])
            vars(holder)[attribute] = value
        yield
