"""Sup-tickets as a callback of Keras's `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tost_tf.compat import tf
from tost_tf.dynamic.callbacks import MaskCallback
from tost_tf.dynamic.options import SuperposeConfig
from tost_tf.dynamic.tickets import Cycles, require_settable_rate
from tost_tf.errors import TostError
from tost_tf.graph.batch_norm import normalisations, recalibrate
from tost_tf.graph.copy import unwrapped_layer
from tost_tf.graph.kernels import prunable_weights, walk
from tost_tf.graph.weights import named_weights
from tost_tf.masks.patterns.pattern import Pattern
from tost_tf.masks.sparsify import masked_kernels, strip
from tost_tf.options import check_values
from tost_tf.registry import GROWTHS
from tost_tf.steps import require_single_steps
from tost_tf.training.superpose import newest_fraction, selected_by, superposed

STATISTICS = "the statistics of BatchNormalization"


class SupTickets(MaskCallback):
    """Trains cheap tickets in the last epochs and leaves the model with their superposition (Yin et al. 2022).

    Cycles each start with a large exploration of the topology and end with a ticket. The end of ordinary training and
    the tickets are averaged, and pruned to the density they had; BatchNormalization's statistics are gathered anew by
    a pass over `data`. The callback sets the learning rate in its cycles: leave that to it.

    Args:
      variant: "caa", the mean of all tickets, or "cima", a moving average.
      cycle_epochs: epochs of a cycle, at least 1.
      cycle_fraction: fraction of the epochs used for cycles, in [0, 1).
      drop_fraction: fraction of each layer's kept weights that is dropped at the start of a cycle, in (0, 1].
      growth: "gradient", "random", a registered one, or "none", which keeps the masks.
      low_learning_rate, high_learning_rate: at both ends of a cycle, and in its middle.
      cima_factor: coefficient of the newest ticket in the moving average of "cima".
      data: also where BatchNormalization's statistics come from; otherwise as for `MaskCallback`.
      dense_layers, seed, steps_per_epoch, pattern: as for `MaskCallback`.

    Raises:
      TostError: a value is out of range; at the start of `fit`: the model has no mask, training is too short for a
        cycle, or there is no data; before the first ticket: ghosts are still in use.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.9)
      >>> sparse.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
      >>> tickets = tost.SupTickets("caa", cycle_epochs=1, cycle_fraction=0.5, data=(images, labels))
      >>> history = sparse.fit(images, labels, epochs=4, verbose=0, callbacks=[tickets])
    """

    def __init__(
        self,
        variant: str = "caa",
        *,
        cycle_epochs: int = 8,
        cycle_fraction: float = 0.1,
        drop_fraction: float = 0.5,
        growth: str = "gradient",
        low_learning_rate: float = 0.001,
        high_learning_rate: float = 0.005,
        cima_factor: float = 0.5,
        dense_layers: str = "",
        seed: int = 0,
        data: Any = None,
        steps_per_epoch: int | None = None,
        pattern: str | Pattern | None = None,
    ):
        super().__init__(dense_layers, seed, data, steps_per_epoch, pattern)
        self.config = SuperposeConfig(
            variant,
            cycle_fraction,
            cycle_epochs,
            drop_fraction,
            growth,
            low_learning_rate,
            high_learning_rate,
            cima_factor,
        )
        check_values(self.config)
        self.growth = None if growth == "none" else GROWTHS[growth]
        self._cycles: Cycles | None = None
        self._average: dict[str, np.ndarray] = {}

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        require_single_steps(self)
        require_settable_rate(self.model.optimizer)
        updater = self.make_updater(self.growth)
        epochs = self.params["epochs"]
        if not self.config.cycles(epochs):
            raise TostError(
                f"SupTickets has no cycle in {epochs} epochs: cycle_fraction={self.config.cycle_fraction:g}"
            )
        if normalisations(self.plain):
            self.given_data(STATISTICS)
        self._cycles = Cycles(updater, self.config, self.growth, epochs, self.steps_per_epoch)
        self._average = {}

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._cycles.set_model(self.model)
        self._cycles.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._cycles.on_train_batch_begin(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        number = self._cycles.ticket_after(epoch)
        if number is None:
            return
        final = strip(self.model)  # which refuses ghosts that are in use
        names = {id(weight): name for name, weight in named_weights(final).items()}
        updater, weights = self._cycles.updater, prunable_weights(final)
        ranked = {path: names[id(weights[path])] for path in updater.layers}
        ticket = {name: weight.numpy() for name, weight in named_weights(final).items()}
        if not number:
            self._average = ticket
            return
        if not self._average:
            raise TostError("SupTickets cannot resume after the end of ordinary training, whose weights are the first")
        kept = sum(int(mask.sum()) for mask in updater.masks().values())
        share = newest_fraction(self.config.superpose, number, self.config.cima_factor)
        self._average = superposed(
            self._average, ticket, share, kept, list(ranked.values()), selected_by(updater.selection, ranked)
        )

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        if not self._average:
            return
        final = strip(self.model)
        final.set_weights([self._average[name] for name in named_weights(final)])
        weights, kernels = prunable_weights(final), masked_kernels(self.plain)
        for path in self._cycles.updater.layers:
            kernels[path].set_mask(weights[path].numpy() != 0)
        if normalisations(final):
            data = self.given_data(STATISTICS)
            recalibrate(final, (inputs for inputs, *_ in data))
        for ours, theirs in _pairs(self.plain, final):
            ours.assign(theirs)


def _pairs(sparse: Any, plain: Any) -> list[tuple[tf.Variable, tf.Variable]]:
    """The weights of a sparse model but masks, and those of its stripped copy."""
    pairs: list[tuple[tf.Variable, tf.Variable]] = []
    for (_, ours), (_, theirs) in zip(walk(sparse), walk(plain), strict=True):
        pairs += zip(unwrapped_layer(ours).weights, theirs.weights, strict=True)
    return pairs
