"""SET (Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity")."""

from __future__ import annotations

from tost_tf.dynamic.growth import RANDOM
from tost_tf.dynamic.method import DynamicMethod

METHOD = DynamicMethod(RANDOM)
