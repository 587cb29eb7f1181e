"""The optimizers by name, each with its default learning rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tost_tf.training.masked_optimizer import MaskedOptimizer


@dataclasses.dataclass(frozen=True)
class OptimizerMethod:
    """One optimizer.

    Attributes:
      make: (learning_rate, momentum, weight_decay) -> the optimizer; imports TensorFlow when it is called.
      learning_rate: the default.
      has_momentum: whether `make` uses its argument momentum.
      trains_factors: whether a tweak may train kernels as products, see `MaskedOptimizer.trains_factors`.
    """

    make: Callable[[float, float, float], MaskedOptimizer]
    learning_rate: float
    has_momentum: bool = True
    trains_factors: bool = False


def _sgd(learning_rate: float, momentum: float, weight_decay: float) -> MaskedOptimizer:
    from tost_tf.training.optimizer import CoupledSGD

    return CoupledSGD(learning_rate, momentum, weight_decay)


def _orthogonal(learning_rate: float, momentum: float, weight_decay: float) -> MaskedOptimizer:
    from tost_tf.training.orthogonal_sgd import OrthogonalSGD

    return OrthogonalSGD(learning_rate, momentum, weight_decay=weight_decay)


def _lars(learning_rate: float, momentum: float, weight_decay: float) -> MaskedOptimizer:
    from tost_tf.training.lars import LARS

    return LARS(learning_rate, momentum, weight_decay=weight_decay)


def _adamw(learning_rate: float, _: float, weight_decay: float) -> MaskedOptimizer:
    from tost_tf.training.adamw import AdamW

    return AdamW(learning_rate, weight_decay, jit_compile=False)


sgd = OptimizerMethod(_sgd, 0.1, trains_factors=True)
# The best of three learning rates in the search, benchmarks/results/search.csv.
orthogonal = OptimizerMethod(_orthogonal, 0.025)
lars = OptimizerMethod(_lars, 0.05)
adamw = OptimizerMethod(_adamw, 1e-3, has_momentum=False)
