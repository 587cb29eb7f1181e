"""Which kernels of a model keep all their weights, and their fraction of all weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from tost_tf.compat import keras, tf
from tost_tf.errors import first_of
from tost_tf.graph.copy import unwrapped_layer
from tost_tf.graph.kernels import is_ranked, prunable_weights, walk

# Weights with at least two axes that are not kernels.
NO_KERNELS = ("bias", "gamma", "beta", "alpha")


@dataclasses.dataclass(frozen=True)
class LeftDense:
    """The kernels that no mask prunes.

    Attributes:
      sizes: path -> number of weights, of kernels no mask can reach and of those left dense on request.
      unreachable: the paths of kernels no mask can reach: embeddings, depthwise kernels of separable convolutions, and
        kernels of unknown layers (see `registry.KERNEL_KINDS`).
      total: the number of weights of all kernels of the model.
    """

    sizes: Mapping[str, int]
    unreachable: tuple[str, ...]
    total: int

    @property
    def shares(self) -> dict[str, float]:
        """Path -> its fraction of the weights of all kernels."""
        return {path: size / self.total for path, size in self.sizes.items()}

    def sparsity(self, pruned: int) -> float:
        """The sparsity over all kernels, if `pruned` of their weights are zero."""
        return pruned / self.total if self.total else 0.0

    def __str__(self) -> str:
        """A sentence, or "" if no kernel is left dense."""
        if not self.sizes:
            return ""
        largest = sorted(self.shares.items(), key=lambda item: -item[1])
        named = first_of([f"{path[:60]} ({share:.1%})" for path, share in largest], most=4)
        share = sum(self.sizes.values()) / self.total
        return f"left dense: {share:.1%} of the weights in kernels, which the sparsity does not count: {named}"


def left_dense(model: keras.Model, dense_layers: str = "") -> LeftDense:
    """The kernels of a functional or Sequential tf_keras model that stay dense, whatever its masks are.

    A kernel is any weight with at least two axes, except biases and the parameters of normalisations and activations.

    Args:
      model: with or without pruning wrappers.
      dense_layers: regular expression of the paths of layers that keep all their weights.
    """
    prunable, others = prunable_weights(model), unreachable_kernels(model)
    chosen = {path: w for path, w in prunable.items() if not is_ranked(path.rpartition("/")[0], dense_layers)}
    sizes = {path: weight.shape.num_elements() for path, weight in (others | chosen).items()}
    ranked = sum(weight.shape.num_elements() for path, weight in prunable.items() if path not in chosen)
    return LeftDense(sizes, tuple(others), ranked + sum(sizes.values()))


def unreachable_kernels(model: keras.Model) -> dict[str, tf.Variable]:
    """Path -> variable, of the kernels that no mask can reach."""
    known = {id(weight) for weight in prunable_weights(model).values()}
    return {path: weight for path, weight in _kernels(model) if id(weight) not in known}


def _kernels(model: keras.Model) -> Iterator[tuple[str, tf.Variable]]:
    for path, layer in walk(model):
        names: dict[str, int] = {}
        for weight in {id(weight): weight for weight in unwrapped_layer(layer).weights}.values():
            name = weight.name.removesuffix(":0").split("/")[-1]
            if weight.shape.rank >= 2 and weight.dtype.is_floating and name not in NO_KERNELS:
                names[name] = names.get(name, 0) + 1
                yield f"{path}/{name}" + (f" #{names[name]}" if names[name] > 1 else ""), weight
