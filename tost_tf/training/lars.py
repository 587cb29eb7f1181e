"""SGD whose step on each kernel is a fraction of the kernel's norm, along the momentum."""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.training.relative_step import RelativeStepSGD


@keras.utils.register_keras_serializable("tost_tf")
class LARS(RelativeStepSGD):
    """Layer-wise adaptive rates (You et al. 2017, "Large Batch Training of Convolutional Networks"), masked.

    The share is of the momentum's norm, not, as in the paper, of each gradient's before it is gathered; so the length
    of a step is exactly what `RelativeStepSGD` says, where the arguments are explained too.
    """

    def __init__(self, *args, name: str = "LARS", **kwargs):
        super().__init__(*args, name=name, **kwargs)

    def direction(self, momentum, variable):
        return momentum
