"""What the graphs of Keras 3 keep private."""

from __future__ import annotations

from typing import Any


def calls_by_name(model: Any) -> dict[str, list]:
    """The calls (nodes) of each layer and operation in a functional Keras 3 model, in the order of its config."""
    included = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    return {
        operation.name: [node for node in operation._inbound_nodes if id(node) in included]
        for operation in model.operations
    }


def call_of(tensor: Any) -> Any:
    """The call (node) that returned a symbolic tensor of Keras 3."""
    operation, number, _ = tensor._keras_history
    return operation._inbound_nodes[number]


def set_keras_mask(tensor: Any, mask: Any) -> None:
    """Gives a symbolic tensor of Keras 3 another mask."""
    tensor._keras_mask = mask


def name_operation(tensor: Any, name: str) -> None:
    """Gives the operation that returned a symbolic tensor of Keras 3 another name."""
    tensor._keras_history.operation.name = name
