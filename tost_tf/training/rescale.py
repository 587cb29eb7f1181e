"""LRsI: one scalar for each parameter tensor, learned so that the first step of training lowers the loss most.

ToST, Section 2.3, after GradInit (Zhu et al. 2021), whose settings the authors' released code uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.graph.batches import Batches, Data, scalar_loss
from tost_tf.graph.finite import first_not_finite
from tost_tf.graph.labels import one_hot
from tost_tf.graph.logits import classes_of, ends_in_softmax
from tost_tf.graph.noise import noise_off
from tost_tf.graph.one_view import one_view
from tost_tf.graph.parameter_paths import parameter_paths
from tost_tf.graph.second_derivatives import twice_differentiable
from tost_tf.progress import progress
from tost_tf.ranges import require_number
from tost_tf.training.rescale_adam import ScaleAdam

WEIGHT_BOUND, BIAS_BOUND = 0.01, 0.0
BIAS_NAMES = ("bias", "beta")

Half = tuple[tf.Tensor, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class RescaleStep:
    """One iteration: its kind ("loss" or "norm"), and the loss and the gradient norm before it."""

    kind: str
    loss: float
    gradient_norm: float


class GradInit:
    """The search for scales.

    The scaled parameters are those of the masked network: kernels, BatchNormalization's gamma and beta, and biases.
    With a `GhostModel` the loss is that of the view in use, so it includes the ghosts, as at the start of the run; the
    weights of ghosts are neither scaled nor counted. Pruned weights have no gradient. In the released code they have:
    then most of the norm is theirs, and `gamma` means something else. BatchNormalization uses the statistics of the
    batch. As in the released code, dropout and all other randomness of training are off.

    Args:
      model: a model made by `sparsify`, a `GhostModel`, or a dense functional model.
      loss: of labels and outputs, a scalar.
      eta: size of the first step, above 0.
      gamma: if the gradient norm is larger than this, an iteration lowers the norm instead of the loss; at least 0.
      normalise: whether the first step has length `eta`; if not, it is `eta` times the gradient.
      learning_rate, clip: of Adam on the scales, above 0.

    Attributes:
      names: the paths of the scaled tensors, from `parameter_paths`.
      scales: their scales, all 1 at the start.

    Raises:
      TostError: a number is out of range, or the model has branches.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: Callable,
        eta: float = 0.1,
        gamma: float = 1.0,
        normalise: bool = True,
        learning_rate: float = 1e-2,
        clip: float = 1.0,
    ):
        require_number("eta", eta, above=0)
        require_number("gamma", gamma, minimum=0)
        require_number("learning_rate", learning_rate, above=0)
        require_number("clip", clip, above=0)
        self.model, self.loss, self.eta, self.gamma, self.normalise = model, loss, eta, gamma, normalise
        if isinstance(model, GhostModel) and model.unmerged_branches():
            raise TostError(
                f"rescale_init scales the kernels of a network, and those of the branches of {model.name} are others: "
                "call it before the branches are added"
            )
        network = model.plain if isinstance(model, GhostModel) else model
        by_path = parameter_paths(network)
        self.names: list[str] = list(by_path)
        self.parameters: list[tf.Variable] = list(by_path.values())
        self._original = [parameter.numpy() for parameter in self.parameters]
        bounds = [BIAS_BOUND if name.partition(" #")[0].endswith(BIAS_NAMES) else WEIGHT_BOUND for name in self.names]
        self._adam = ScaleAdam(np.array(bounds), learning_rate, clip)
        # A zero tensor is the same at any scale.
        self._movable = np.array([bool(np.any(original)) for original in self._original])
        self._gradients = tf.function(self._loss_and_gradients, reduce_retracing=True)
        self._norm_gradients = twice_differentiable(self._gradients_of_the_norm, model, self.parameters)

    @property
    def scales(self) -> np.ndarray:
        return np.where(self._movable, self._adam.scales, 1.0)

    def put_back(self) -> None:
        """Gives the model its weights as they were before the search."""
        for parameter, original in zip(self.parameters, self._original, strict=True):
            parameter.assign(original)

    def iterate(self, first: Half, second: Half, fresh: Half) -> RescaleStep:
        """One iteration: the gradient is from `first` and `second`, the loss after a step from `first` and `fresh`.

        Raises:
          TostError: the loss or a gradient is no longer finite.
        """
        images, labels = _joined(first, second)
        loss, gradients = self._finite_gradients(images, labels)
        norm = float(tf.linalg.global_norm(gradients))
        if norm > self.gamma:
            of_norm = self._norm_gradients(images, labels)
            self._require_finite(of_norm, "a gradient of the gradient norm", loss)
            self._update(of_norm, "norm")
            return RescaleStep("norm", loss, norm)
        length = self.eta / norm if self.normalise and norm > 0 else self.eta
        before = [parameter.numpy() for parameter in self.parameters]
        try:
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.assign_sub(length * gradient)
            _, after_step = self._finite_gradients(*_joined(first, fresh))
        finally:
            for parameter, value in zip(self.parameters, before, strict=True):
                parameter.assign(value)
        self._update([gradient / self.eta for gradient in after_step], "loss")
        return RescaleStep("loss", loss, norm)

    def _finite_gradients(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[float, list[tf.Tensor]]:
        """The loss and its gradients with respect to the parameters, zero for pruned weights."""
        loss, gradients = self._gradients(images, labels)
        if not np.isfinite(loss):
            view = self.model.view if isinstance(self.model, GhostModel) else self.model
            cause = first_not_finite(view, images) or "the loss itself"
            raise TostError(f"rescaling the initialisation gives loss {float(loss)}, because of {cause}")
        self._require_finite(gradients, "a gradient", float(loss))
        return float(loss), gradients

    def _require_finite(self, gradients: list[tf.Tensor], what: str, loss: float) -> None:
        # Backpropagation passes NaN on to all layers before: the last tensor is where it starts.
        for name, gradient in reversed(list(zip(self.names, gradients, strict=True))):
            if not np.isfinite(gradient).all():
                raise TostError(f"rescaling the initialisation: {what} by {name} is not finite (loss {loss})")

    def _loss_and_gradients(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape, noise_off(self.model), one_view(self.model):
            tape.watch(self.parameters)
            loss = self.loss(labels, self.model(images, training=True))
        gradients = tape.gradient(loss, self.parameters, unconnected_gradients="zero")
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]  # that of an embedding is sparse

    def _gradients_of_the_norm(self, images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.parameters)
            norm = tf.linalg.global_norm(self._loss_and_gradients(images, labels)[1])
        gradients = tape.gradient(norm, self.parameters, unconnected_gradients="zero")
        return [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _update(self, gradients: list[tf.Tensor], kind: str) -> None:
        # The parameter is original·scale (minus a constant step), so a scale's derivative is the inner product.
        products = [
            float(np.sum(gradient.numpy() * original))
            for gradient, original in zip(gradients, self._original, strict=True)
        ]
        self._adam.step(np.where(self._movable, products, 0.0), kind)
        for parameter, original, scale in zip(self.parameters, self._original, self.scales, strict=True):
            parameter.assign(original * scale.astype(original.dtype))


def rescale_init(
    model: keras.Model,
    dataset: Data,
    *,
    steps: int = 180,
    loss: str | Callable | None = None,
    eta: float = 0.1,
    gamma: float = 1.0,
    normalise: bool = True,
    learning_rate: float = 1e-2,
) -> dict[str, float]:
    """Rescales the initial weights of `model` in place; their directions and the masks do not change.

    Args:
      model: a model made by `sparsify`, a `GhostModel`, or a dense functional model, freshly initialised.
      dataset: batches of inputs and labels (with the default loss one-hot, or integers), each used as half of a batch:
        a `tf.data.Dataset`, a `keras.utils.Sequence`, arrays (inputs, labels), or pairs; it is repeated when it ends.
      steps: number of iterations.
      loss: any of Keras: a name, a `keras.losses.Loss` or a function of labels and outputs; by default cross-entropy of
        logits or, if the model ends in a softmax, of probabilities.
      eta, gamma, normalise, learning_rate: as in `GradInit`.

    Returns:
      Path ("stage1_block1_conv1/kernel", as in masks; "stage1_block1_bn1/gamma") -> scale, of each parameter tensor.

    Raises:
      TostError: the dataset is empty, a number is out of range, the loss or a gradient is no longer finite (the message
        names the cause), or the network has no second derivative. The weights are then as they were.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.9)
      >>> factors = tost.rescale_init(sparse, (images, labels), steps=3)
      >>> sorted(factors)[:3]
      ['bn1/beta', 'bn1/gamma', 'bn2/beta']
    """
    require_number("steps", steps, whole=True, minimum=1)
    given = Batches(dataset)
    batches: Iterable[Half] = given
    if loss is None:
        loss = keras.losses.CategoricalCrossentropy(from_logits=not ends_in_softmax(model))
        batches = _OneHot(given, classes_of(model))
    search = GradInit(model, scalar_loss(loss), eta, gamma, normalise, learning_rate)
    halves = _repeated(batches)
    if next(iter(given), None) is None:
        raise TostError("the dataset for rescaling the initialisation is empty")
    with statistics_kept(model):
        try:
            for _ in progress(range(steps), "rescaling the initialisation"):
                search.iterate(next(halves), next(halves), next(halves))
        except BaseException:
            search.put_back()
            raise
    return dict(zip(search.names, search.scales.tolist(), strict=True))


def _repeated(batches: Iterable[Half]) -> Iterator[Half]:
    while True:
        number = 0
        for number, batch in enumerate(batches, start=1):  # noqa: B007 (how many there were)
            yield batch
        if not number:
            raise TostError(
                "the dataset for rescaling the initialisation has no batch left: give what can be gone through again, "
                "such as a tf.data.Dataset or arrays"
            )


@dataclasses.dataclass(frozen=True)
class _OneHot:
    """The batches of a dataset with one-hot labels; it can be repeated."""

    dataset: Iterable[Half]
    classes: int

    def __iter__(self) -> Iterator[Half]:
        return ((images, one_hot(labels, self.classes)) for images, labels in self.dataset)


def _joined(one: Half, other: Half) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.nest.map_structure(lambda first, second: tf.concat([first, second], axis=0), one, other)
