"""GraNet (Liu et al. 2021, "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration")."""

from __future__ import annotations

from tost_tf.dynamic.growth import GRADIENT
from tost_tf.dynamic.method import DynamicMethod

METHOD = DynamicMethod(GRADIENT, prunes=True)
