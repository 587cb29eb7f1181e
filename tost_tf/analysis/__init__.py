"""The analyses of the paper: functions that return numbers; `tost_tf.report` draws them."""

from __future__ import annotations

from tost_tf.analysis.activations import activation_sparsity, by_stage
from tost_tf.analysis.gradient_flow import gradient_flow as average_gradient_flow
from tost_tf.analysis.hessian import MaskedHessian, top_eigenvalues
from tost_tf.analysis.landscape import input_landscape, loss_along_direction, weight_landscape
from tost_tf.analysis.mask_spectrum import mask_overlap, mask_spectrum

__all__ = [
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
