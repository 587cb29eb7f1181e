"""RigL (Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners"): SET that grows by the gradient."""

from __future__ import annotations

from tost_tf.dynamic.growth import GRADIENT
from tost_tf.dynamic.method import DynamicMethod

METHOD = DynamicMethod(GRADIENT)
