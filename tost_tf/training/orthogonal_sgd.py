"""SGD with orthogonal steps, for kernels with any mask."""

from __future__ import annotations

from collections.abc import Iterable

from tost_tf.compat import keras, tf
from tost_tf.training.newton_schulz import orthogonalised
from tost_tf.training.relative_step import RelativeStepSGD


@keras.utils.register_keras_serializable("tost_tf")
class OrthogonalSGD(RelativeStepSGD):
    """SGD whose step on a kernel is the momentum made orthogonal, masked again, and as long as a fraction of the norm.

    The momentum of a kernel, as a matrix with a column for each filter, goes through Newton-Schulz iterations as in
    Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"), so that all directions of the
    matrix are followed alike. Pruned entries of the result are set to zero, and the step is `learning_rate` times as
    long as the kernel: `RelativeStepSGD` tells the exact rule, what counts as a kernel, and what other weights do.
    Arguments have the names of Keras 3's Muon where they mean the same; unlike it, convolutions are orthogonalised too,
    and all other weights are trained by SGD.

    The L2 penalty is left out of the kernels' momentum. Orthogonal steps follow all directions alike, also those in
    which the gradient is small: there the penalty alone would decide where the step goes, however small it is. The norm
    that it holds down elsewhere does not matter, as steps are a share of it. All other weights have the penalty.

    A kernel of a convolution or Dense layer is a matrix of (height · width · input channels) times filters. A depthwise
    kernel stands for a matrix of blocks, one of (height · width) times multiplier for each channel, which are made
    orthogonal by themselves.

    Args:
      learning_rate, momentum, nesterov, weight_decay, exclude_layers, sgd_learning_rate_ratio, name, **kwargs: as for
        `RelativeStepSGD`.
      ns_steps: Newton-Schulz iterations, at least 1.
    """

    def __init__(
        self,
        learning_rate: float = 0.05,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
        exclude_layers: Iterable[str] | None = None,
        sgd_learning_rate_ratio: float = 2.0,
        name: str = "OrthogonalSGD",
        **kwargs,
    ):
        super().__init__(
            learning_rate, momentum, nesterov, weight_decay, exclude_layers, sgd_learning_rate_ratio, name, **kwargs
        )
        self.ns_steps = ns_steps

    def penalised(self, gradient, variable):
        return gradient

    def direction(self, momentum, variable):
        values = tf.cast(momentum, tf.float32) if momentum.dtype.size < 4 else momentum
        shape = values.shape
        if "depthwise_kernel" in variable.name:
            channels_first = tf.transpose(tf.reshape(values, (-1, *shape[-2:])), (1, 0, 2))
            blocks = tf.transpose(orthogonalised(channels_first, self.ns_steps), (1, 0, 2))
            result = tf.reshape(blocks, shape)
        else:
            result = tf.reshape(orthogonalised(tf.reshape(values, (-1, shape[-1])), self.ns_steps), shape)
        return tf.cast(result, momentum.dtype)

    def get_config(self):
        return super().get_config() | {"ns_steps": self.ns_steps}
