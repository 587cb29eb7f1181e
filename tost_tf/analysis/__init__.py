"""The analyses of the paper: functions that return numbers, and others that draw them.

The names below are imported at first use, since the options of analyses need no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTED = {
    "Analysis": ("analysis", "Analysis"),
    "MaskedHessian": ("hessian", "MaskedHessian"),
    "activation_sparsity": ("activations", "activation_sparsity"),
    "average_gradient_flow": ("gradient_flow", "gradient_flow"),
    "by_stage": ("activations", "by_stage"),
    "input_landscape": ("landscape", "input_landscape"),
    "loss_along_direction": ("landscape", "loss_along_direction"),
    "mask_overlap": ("mask_statistics", "mask_overlap"),
    "mask_spectrum": ("mask_statistics", "mask_spectrum"),
    "top_eigenvalues": ("hessian", "top_eigenvalues"),
    "weight_landscape": ("landscape", "weight_landscape"),
}

__all__ = list(_EXPORTED)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _EXPORTED[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
