"""SGD with orthogonal steps, for kernels with any mask."""

from __future__ import annotations

from collections.abc import Iterable

from tost_tf.compat import keras, tf
from tost_tf.ranges import require_number
from tost_tf.training.newton_schulz import orthogonalised
from tost_tf.training.relative_step import RelativeStepSGD


@keras.utils.register_keras_serializable("tost_tf")
class OrthogonalSGD(RelativeStepSGD):
    """SGD whose step on a kernel is the orthogonalised momentum, masked, and scaled to a fraction of the kernel's norm.

    The momentum of a kernel, as a matrix with a column for each filter, goes through Newton-Schulz iterations as in
    Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"), so that the step is equally
    long in all directions of the matrix. Then pruned entries are set to zero, and the step is scaled to `learning_rate`
    times the norm of the kernel, which keeps its norm. `RelativeStepSGD` gives the exact rule, defines kernels, and
    says how other weights are trained. Arguments are named as in Keras 3's Muon if they mean the same. Unlike in Muon,
    convolutions are orthogonalised too, and all other weights are trained by SGD.

    After each step the kernel is scaled back to the norm it had. Steps in all directions make a kernel longer, and with
    steps that are a fraction of its norm it would grow exponentially, until the activations overflow: by ten in about
    each epoch of CIFAR-10, at 0.025. (Without momentum, dividing by √(1 + learning_rate²) is enough, as in Fromage,
    Bernstein et al. 2020, arXiv 2002.03432.) A normalisation after the layer makes its norm indifferent; in
    a network of ReLUs without one, the classifier's kernel and the biases can take over any norm of the others. Name
    the last layers in `exclude_layers` if there are several outputs.

    The L2 penalty is not added to the momentum of kernels: orthogonal steps are as long in directions in which the
    gradient is small, and there even a small penalty would decide the direction of the step. All other weights have it.

    A kernel of a convolution or Dense layer is a matrix of (height · width · input channels) × filters. A depthwise
    kernel is one block of (height · width) × multiplier for each channel; each block is orthogonalised separately.

    Args:
      learning_rate, momentum, nesterov, weight_decay, exclude_layers, sgd_learning_rate_ratio, name, **kwargs: as for
        `RelativeStepSGD`.
      ns_steps: number of Newton-Schulz iterations, at least 1.

    Raises:
      TostError: as for `RelativeStepSGD`.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.9)
      >>> sparse.compile(tost.OrthogonalSGD(keras.optimizers.schedules.CosineDecay(0.025, 10)), loss)
      >>> history = sparse.fit(images, labels, batch_size=16, verbose=0)
    """

    keeps_norm = True

    def __init__(
        self,
        learning_rate: float = 0.025,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
        exclude_layers: str | Iterable[str] | None = None,
        sgd_learning_rate_ratio: float = 2.0,
        name: str = "OrthogonalSGD",
        **kwargs,
    ):
        super().__init__(
            learning_rate, momentum, nesterov, weight_decay, exclude_layers, sgd_learning_rate_ratio, name, **kwargs
        )
        require_number("ns_steps", ns_steps, whole=True, minimum=1)
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
