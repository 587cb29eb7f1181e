"""Crops as far as a network overfits: the probability with which images are cropped follows a gap in accuracy.

Crops help a network that fits its training images better than others, and harm one that cannot fit them: so sparse a
network has no weights to spare for shifted images. As in "Training Generative Adversarial Networks with Limited Data"
(Karras et al. 2020, Section 3.1), which does so for discriminators, how often images are changed follows a measure of
overfitting during training, here the accuracy on training images as they are minus that on held-out images.
"""

from __future__ import annotations

import math

FIRST_GAP, LAST_GAP = 0.02, 0.10

# How many batches are drawn ahead of training at most, by the pipeline and by a strategy.
BATCHES_AHEAD = 64


def crop_probability(gap: float) -> float:
    """The probability that an image is cropped: 0 for gaps up to 0.02, 1 from 0.10 on, and linear in between.

    Args:
      gap: the accuracy on training images that are not augmented, minus that on held-out images.
    """
    return min(1.0, max(0.0, (gap - FIRST_GAP) / (LAST_GAP - FIRST_GAP)))


def epochs_ahead(steps: int) -> int:
    """How many epochs of `steps` steps may have been drawn already, in part, when an epoch of training ends."""
    return math.ceil(BATCHES_AHEAD / steps)
