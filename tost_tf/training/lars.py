"""SGD along the momentum, with a step length that is a fraction of the kernel's norm."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras
from tost_tf.training.relative_step import RelativeStepSGD


@keras.utils.register_keras_serializable("tost_tf")
class LARS(RelativeStepSGD):
    """Layer-wise adaptive rates (You et al. 2017, "Large Batch Training of Convolutional Networks"), masked.

    The momentum is normalised, while the paper normalises each gradient before it is accumulated. So the length of a
    step is exactly that of `RelativeStepSGD`, which also explains the arguments. Give it a penalty in long runs: it is
    what limits the norms of kernels, which steps of a fraction of them increase.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.9)
      >>> sparse.compile(tost.LARS(0.02), loss)
      >>> history = sparse.fit(images, labels, verbose=0)
    """

    def __init__(self, learning_rate: Any = 0.05, *args: Any, name: str = "LARS", **kwargs: Any):
        super().__init__(learning_rate, *args, **(kwargs | {"name": name}))

    def direction(self, momentum, variable):
        return momentum
