"""Methods of dynamic sparse training as callbacks of Keras's `fit`."""

from __future__ import annotations

import dataclasses
from typing import Any

from tost_tf.compat import keras
from tost_tf.compat.optimizers import build_optimizer
from tost_tf.dynamic.callback import DynamicSparsity
from tost_tf.dynamic.dense_gradients import DenseGradients
from tost_tf.dynamic.growth import Growth
from tost_tf.dynamic.options import DynamicConfig
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.errors import TostError
from tost_tf.graph.batches import Batches
from tost_tf.graph.kernels import prunable_layers
from tost_tf.masks.patterns.pattern import Pattern, found_pattern, parsed_pattern
from tost_tf.masks.sparsify import masked_kernels, masks_of
from tost_tf.masks.wrapper import FixedMask
from tost_tf.options import check_values
from tost_tf.ranges import require_number
from tost_tf.steps import StepCallback, require_single_steps
from tost_tf.training.masked_optimizer import MaskedOptimizer


class MaskCallback(StepCallback):
    """A callback that changes the masks of the model that is fitted, with whatever optimizer it has.

    Args:
      dense_layers: regular expression of the paths of layers that are not changed.
      seed: of random growth.
      data: where the gradient by which weights grow comes from if the optimizer keeps none: as `fit` takes it. The
        optimizers of this package keep it, at no cost; any other costs one more step for each update. By default what
        `fit` of a `GhostModel` was given.
      steps_per_epoch: steps in an epoch; by default what `fit` knows of its data.
      pattern: of the masks, which is kept; by default the most specific that they have.
    """

    def __init__(
        self,
        dense_layers: str,
        seed: int,
        data: Any,
        steps_per_epoch: int | None,
        pattern: str | Pattern | None = None,
    ):
        super().__init__(steps_per_epoch)
        self.dense_layers, self.seed, self.data = dense_layers, seed, data
        self.pattern = None if pattern is None else parsed_pattern(pattern)
        self._dense: list[FixedMask] = []  # those that give dense gradients until training ends

    @property
    def plain(self) -> keras.Model:
        """The model that is fitted, without ghosts."""
        return getattr(self.model, "plain", self.model)

    def make_updater(self, growth: Growth | None) -> MaskUpdater:
        """The updater of the model's masks; its optimizer is built, and keeps gradients if it can.

        Raises:
          TostError: there is no mask, or no gradient is to be had.
        """
        name = type(self).__name__
        if not masked_kernels(self.plain):
            raise TostError(f"{name} changes masks, and {self.model.name} has none: give it to tost_tf.sparsify first")
        if getattr(self.model, "unmerged_branches", list)():
            raise TostError(
                f"{name} changes masks, which all branches of {self.model.name} share: a weight that grows cannot "
                "start in them as in one kernel, so leave branches out"
            )
        optimizer = self.model.optimizer
        gradients = self._gradients() if growth is not None and growth.needs_gradient else None
        with self.model.distribute_strategy.scope():
            build_optimizer(optimizer, self.model.trainable_weights)
        pattern = self.pattern or found_pattern(masks_of(self.plain).without(self.dense_layers), self.plain)
        updater = MaskUpdater(self.plain, optimizer, self.dense_layers, self.seed, gradients, pattern)
        if growth is not None:
            updater.require_growth()
        return updater

    def _gradients(self) -> DenseGradients | None:
        """What computes the gradients by which weights grow, `None` if the optimizer keeps those of its steps."""
        inner = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        # An optimizer that clips would do so by the gradients of pruned weights, too.
        clips = any(getattr(inner, name, None) is not None for name in ("clipnorm", "clipvalue", "global_clipnorm"))
        if isinstance(inner, MaskedOptimizer) and not clips and not getattr(inner, "_built", False):
            inner.keep_gradients(masked.kernel for masked in masked_kernels(self.plain).values())
        if getattr(inner, "keeps_gradients", False):
            self._dense = [
                layer
                for _, layer in prunable_layers(self.plain)
                if isinstance(layer, FixedMask) and not layer.dense_gradients
            ]
            self._set_dense(True)
            return None
        keeps_none = f"{type(inner).__name__}{' with clipping' if clips else ''} does not keep"
        if self.model.distribute_strategy.num_replicas_in_sync > 1:
            raise TostError(
                f"{type(self).__name__} needs gradients, which {keeps_none}, and computes them on one device only: on "
                "several use an optimizer of tost_tf, such as OrthogonalSGD, without clipping"
            )
        return DenseGradients(self.model, self.given_data(f"gradients, which {keeps_none}"))

    def _set_dense(self, dense: bool) -> None:
        for layer in self._dense:
            layer.dense_gradients = dense
        if self._dense and self.model.train_function is not None:
            self.model.make_train_function(force=True)

    def on_train_end(self, logs: dict | None = None) -> None:
        # The next optimizer may not mask its steps, as those do that keep dense gradients.
        self._set_dense(False)
        self._dense = []

    def given_data(self, what: str) -> Batches:
        """The data, for something. Raises `TostError` if there is none."""
        name = type(self).__name__
        data = self.data if self.data is not None else getattr(self.model, "fit_data", None)
        if data is None:
            raise TostError(
                f"{name} needs data for {what}: give {name}(data=...) what fit is given, or train a GhostModel, which "
                "knows it"
            )
        batches = Batches(data, takes_weights=True)
        if self.data is None and not batches.is_repeatable:
            raise TostError(
                f"{name} needs data for {what}, and fit is given an iterator, which would be short of what is taken "
                f"from it: give {name}(data=...)"
            )
        return batches


class Dynamic(MaskCallback):
    """A method by its name, `set`, `rigl`, `granet` or a registered one.

    Args:
      method: the name.
      update_every: steps between updates of the masks, at least 1.
      drop_fraction: fraction of each layer's kept weights that an update drops, at the start of training, in (0, 1].
      drop_schedule: "cosine" or "constant".
      end_fraction: fraction of all epochs after which the masks stay fixed, in (0, 1].
      sparsity, initial_sparsity: where a method that prunes ends and starts, in [0, 1); for others `sparsity` is 0.
      dense_layers, seed, data, steps_per_epoch, pattern: as for `MaskCallback`.

    Attributes:
      updates: a dictionary for each update, as `DynamicSparsity` records them.

    Raises:
      TostError: a value is out of range; at the start of `fit`: the model has no mask, or training is too short.
    """

    def __init__(
        self,
        method: str,
        *,
        update_every: int = 100,
        drop_fraction: float = 0.3,
        drop_schedule: str = "cosine",
        end_fraction: float = 0.75,
        sparsity: float = 0.0,
        initial_sparsity: float = 0.5,
        dense_layers: str = "",
        seed: int = 0,
        data: Any = None,
        steps_per_epoch: int | None = None,
        pattern: str | Pattern | None = None,
    ):
        super().__init__(dense_layers, seed, data, steps_per_epoch, pattern)
        self.config = DynamicConfig(method, update_every, drop_fraction, drop_schedule, end_fraction, initial_sparsity)
        check_values(self.config)
        if sparsity and not self.config.prunes:
            raise TostError(
                f"sparsity={sparsity} has no effect with {method}, which keeps the sparsity of the model: leave it out"
            )
        self.sparsity = sparsity
        self.updates: list[dict[str, float]] = []
        self._changes: DynamicSparsity | None = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        require_single_steps(self)
        updater = self.make_updater(self.config.method.growth)
        initial = masks_of(self.plain)
        config = self.config
        if config.prunes:
            kept = {path: mask for path, mask in initial.items() if path in updater.layers}
            start = 1 - sum(int(mask.sum()) for mask in kept.values()) / sum(mask.size for mask in kept.values())
            config = dataclasses.replace(config, initial_sparsity=start)
            if self.sparsity < start:
                raise TostError(
                    f"{type(self).__name__} prunes to sparsity {self.sparsity:g}, and {self.model.name} starts at "
                    f"{start:.4f}: sparsify it less"
                )
        epochs, steps = self.params["epochs"], self.steps_per_epoch
        self._changes = DynamicSparsity(
            updater,
            config,
            last_step=config.last_update(epochs, epochs, steps),
            end_step=config.end_step(epochs, epochs, steps),
            steps_per_epoch=steps,
            sparsity=self.sparsity,
            initial=initial,
            record=self.updates.append,
        )

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._changes.on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._changes.on_train_batch_end(batch, logs)


class RigL(Dynamic):
    """RigL (Evci et al. 2020): weights grow where the gradient is largest. Arguments as for `Dynamic`.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.9)
      >>> sparse.compile(tost.OrthogonalSGD(0.02), loss)
      >>> rigl = tost.RigL(update_every=2)
      >>> history = sparse.fit(images, labels, batch_size=16, epochs=2, verbose=0, callbacks=[rigl])
    """

    def __init__(self, update_every: int = 100, **options: Any):
        super().__init__("rigl", update_every=update_every, **options)


class SET(Dynamic):
    """SET (Mocanu et al. 2018): weights grow at random places. Arguments as for `Dynamic`.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.9)
      >>> sparse.compile("adam", loss)
      >>> history = sparse.fit(images, labels, batch_size=16, epochs=2, verbose=0, callbacks=[tost.SET(update_every=2)])
    """

    def __init__(self, update_every: int = 100, **options: Any):
        super().__init__("set", update_every=update_every, **options)


class GraNet(Dynamic):
    """GraNet (Liu et al. 2021): RigL that prunes from the sparsity the model has to `sparsity`.

    Further arguments as for `Dynamic`.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.5)
      >>> sparse.compile(tost.OrthogonalSGD(0.02), loss)
      >>> granet = tost.GraNet(sparsity=0.9, update_every=2)
      >>> history = sparse.fit(images, labels, batch_size=16, epochs=2, verbose=0, callbacks=[granet])
    """

    def __init__(self, sparsity: float, update_every: int = 100, **options: Any):
        require_number("sparsity", sparsity, above=0, below=1)
        super().__init__("granet", sparsity=sparsity, update_every=update_every, **options)
