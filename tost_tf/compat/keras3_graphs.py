"""What the graphs of Keras 3 keep private."""

from __future__ import annotations

from typing import Any


def name_operation(tensor: Any, name: str) -> None:
    """Gives the operation that returned a symbolic tensor of Keras 3 another name."""
    tensor._keras_history.operation.name = name
