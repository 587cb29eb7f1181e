"""The analyses of the paper: functions that return numbers, and others that draw them.

The names below are imported at first use, since the options of analyses need no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers
    from tost_tf.analysis.activations import activation_sparsity, by_stage
    from tost_tf.analysis.analysis import Analysis
    from tost_tf.analysis.gradient_flow import gradient_flow as average_gradient_flow
    from tost_tf.analysis.hessian import MaskedHessian, top_eigenvalues
    from tost_tf.analysis.landscape import input_landscape, loss_along_direction, weight_landscape
    from tost_tf.analysis.mask_statistics import mask_overlap, mask_spectrum

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

__all__ = [
    "Analysis",
    "MaskedHessian",
    "activation_sparsity",
    "average_gradient_flow",
    "by_stage",
    "input_landscape",
    "loss_along_direction",
    "mask_overlap",
    "mask_spectrum",
    "top_eigenvalues",
    "weight_landscape",
]


if not TYPE_CHECKING:  # else every name would seem to exist

    def __getattr__(name: str) -> Any:
        if name not in _EXPORTED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _EXPORTED[name]
        return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
