"""Masks: what they are, and the ways to find one."""

from typing import Any

from tost_tf.masks.find import erk, grasp, magnitude, random, snip, synflow
from tost_tf.masks.mask import Masks

__all__ = ["Masks", "erk", "grasp", "lottery", "magnitude", "random", "snip", "synflow"]


def __getattr__(name: str) -> Any:
    # A lottery ticket is found by training, which comes later than masks: it is imported when it is asked for.
    if name == "lottery":
        from tost_tf.lottery.ticket import lottery

        return lottery
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
