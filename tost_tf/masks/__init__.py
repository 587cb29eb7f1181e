"""Masks: their values, methods to find them, and sparse models made with them."""

from __future__ import annotations

from tost_tf.masks.connection import depends_on_input
from tost_tf.masks.erk import erk
from tost_tf.masks.from_scores import from_scores
from tost_tf.masks.grasp import grasp
from tost_tf.masks.lottery import lottery
from tost_tf.masks.magnitude import magnitude
from tost_tf.masks.masks import Masks
from tost_tf.masks.random import random
from tost_tf.masks.snip import snip
from tost_tf.masks.synflow import synflow
from tost_tf.masks.zeros import zeros

__all__ = [
    "Masks",
    "depends_on_input",
    "erk",
    "from_scores",
    "grasp",
    "lottery",
    "magnitude",
    "random",
    "snip",
    "synflow",
    "zeros",
]
