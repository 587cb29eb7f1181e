"""Masks: what they are, and the ways to find one."""

from tost_tf.masks.find import erk, magnitude, random
from tost_tf.masks.mask import Masks

__all__ = ["Masks", "erk", "magnitude", "random"]
