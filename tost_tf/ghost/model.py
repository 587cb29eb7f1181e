"""A model with two views: with ghosts and without."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from typing import Any

import numpy as np

from tost_tf.compaction.report import CompactionReport
from tost_tf.compat import keras, tf
from tost_tf.compat.fit import own_steps
from tost_tf.compat.graphs import require_graph_model
from tost_tf.compat.saving import config_of_part, save_hdf5
from tost_tf.errors import TostError
from tost_tf.ghost import NO_GHOST
from tost_tf.ghost.branches import GhostBranches
from tost_tf.ghost.compact_steps import CompactSteps
from tost_tf.ghost.dead_channels import find_dead_channels, name_starved
from tost_tf.ghost.description import lines_of_left_alone, table_of_ghosts
from tost_tf.ghost.graph import Ghost, GhostGraph
from tost_tf.ghost.inputs import for_training
from tost_tf.ghost.kinds import Kind, config_of, function_of
from tost_tf.ghost.merge import as_if_merged, merge_branches, merged_variables
from tost_tf.ghost.neuron_layer import SOFT
from tost_tf.ghost.train_step import train_step
from tost_tf.ghost.two_views import TwoViews
from tost_tf.graph.kernels import current_masks, masked
from tost_tf.graph.left_dense import left_dense
from tost_tf.graph.slots import set_to_first_values
from tost_tf.ranges import require_number
from tost_tf.registry import GHOST_NEURONS, GHOST_SKIPS


class _Held:
    """What `fit` was given, as long as it lasts; an object that Keras does not look into."""

    value: Any = None


@dataclasses.dataclass(frozen=True)
class _Arguments:
    """What a `GhostModel` was made with; an object that Keras does not look into."""

    neurons: Kind
    skips: Kind
    skip_initializer: str
    beta: float
    skip_gate: str
    seed: int
    dead_channels: str
    branches: int


@keras.utils.register_keras_serializable("tost_tf")
class GhostModel(TwoViews):
    """Trains a sparse model first with ghosts and later without them; both views share all layers of the model.

    It is compiled and fitted like any Keras model. While ghosts are active, `fit`, `evaluate` and `predict` use the
    ghosted view; after `remove_ghosts` (which a `GhostSchedule` calls) they use the plain view, at its cost. A user's
    `tf.function` that calls the model switches too, whenever it was traced.

    `weights` is the same list in both phases: those of the plain view, those of the ghosts, and a scalar that says
    which view is in use. So weights that are restored are used in the view they belong to.

    Args:
      sparse: a functional or Sequential tf_keras model, usually made by `sparsify`.
      neurons: "pswish", "mish", "dyrelu" (see `GhostDyReLU`), a registered kind, a function (x, β), or "none".
      skips: "projection", "identity", a registered kind, a function as those of `tost_tf.ghost.skips`, or "none".
      skip_initializer: of projection skips, "constant" (the authors'), "he_normal" or "dirac".
      beta: the initial β of ghost neurons that have one, at least 0.
      skip_gate: how α joins a skip to its block: "scaled" (the paper's), "stochastic", "variance_preserving" or a
        registered one.
      seed: of the draws of stochastic gates, and of the weights of new branches.
      dead_channels: "soft" (the paper's), or "relu" for ghost neurons that stay ReLU on channels that do not vary, once
        `find_dead_channels` has looked for them.
      branches: K, how many parallel kernels under the same mask, each with a BatchNormalization of its own, each
        convolution or Dense layer has that only a BatchNormalization reads (see `GhostBranches`); `remove_ghosts`
        merges them. 1 for none beside the layer itself.

    Attributes:
      plain: the plain view, `sparse` itself.
      ghosted: the ghosted view.
      ghosts: a list of `Ghost`.
      left_alone: layer -> activation, for activations that are not ReLU and do not change.

    If the class of `sparse` overrides `train_step` or similar methods, these are not used, and a warning is logged.

    Raises:
      TostError: `sparse` is a subclassed or Keras 3 model, a kind is unknown, a number is out of range, or no layer can
        have branches.

    Examples:
      >>> ghosted = tost.GhostModel(tost.sparsify(model, sparsity=0.9), neurons="pswish", skips="identity")
      >>> ghosted.compile("sgd", loss)
      >>> history = ghosted.fit(images, labels, epochs=3, verbose=0, callbacks=[tost.GhostSchedule(end_epoch=2)])
      >>> ghosted.ghosts_active
      False
      >>> final = tost.strip(ghosted)  # an ordinary tf_keras model
    """

    def __init__(
        self,
        sparse: keras.Model,
        neurons: Kind = "pswish",
        skips: Kind = "projection",
        skip_initializer: str = "constant",
        beta: float = 1.0,
        skip_gate: str = "scaled",
        seed: int = 0,
        dead_channels: str = SOFT,
        branches: int = 1,
        **kwargs: Any,
    ):
        require_graph_model(sparse)
        require_number("branches", branches, whole=True, minimum=1)
        require_number("beta", beta, minimum=0)
        neurons, skips = (
            kind if isinstance(kind, str) and (kind == NO_GHOST or registry[kind]) else function_of(registry, kind)
            for registry, kind in ((GHOST_NEURONS, neurons), (GHOST_SKIPS, skips))
        )
        super().__init__(name=kwargs.pop("name", f"{sparse.name}_with_ghosts"), **kwargs)
        own = own_steps(sparse)
        if own:
            logging.warning(
                "%s overrides %s, which is not used with ghosts: write it in a subclass of GhostModel",
                type(sparse).__name__,
                " and ".join(own),
            )
        self._arguments = _Arguments(neurons, skips, skip_initializer, beta, skip_gate, seed, dead_channels, branches)
        skip_options = {"kernel_initializer": skip_initializer, "gate": skip_gate, "seed": seed}
        graph = GhostGraph(sparse, neurons, skips, skip_options, beta, dead_channels, branches)
        if branches > 1 and not graph.has_branches:
            raise TostError(
                f"branches={branches} needs a convolution or Dense layer that only a BatchNormalization with gamma and "
                f"beta reads, and {sparse.name} has none: leave branches out"
            )
        self._ghosts = tuple(graph.ghosts)
        self._left_alone = tuple(graph.left_alone.items())
        self._inside = tuple(graph.inside)
        self._wakes_channels = neurons != NO_GHOST and dead_channels == SOFT
        self._held = _Held()
        self._compact = CompactSteps()
        self._merges = 0
        self._set_views(sparse, graph.view, has_ghosts=bool(graph.ghosts))

    @property
    def ghosts(self) -> list[Ghost]:
        return list(self._ghosts)

    @property
    def left_alone(self) -> dict[str, str]:
        return dict(self._left_alone)

    def find_dead_channels(self, images: np.ndarray) -> dict[str, int]:
        """Keeps ReLU, in the view with ghosts, on the channels that do not vary over some images.

        To be called once, before training; the answer is kept in weights. It takes `dead_channels="relu"`.

        Args:
          images: as the network takes them: a batch or so of the training images.

        Returns:
          Name of a ghost neuron -> how many of its channels are dead, for those that have some.
        """
        return find_dead_channels(self.ghosted, images)

    def remove_ghosts(self, images: Any = None) -> None:
        """Switches to the plain view; in the middle of `fit`, from the next step on.

        Branches are merged before: first the statistics of BatchNormalization become those of some images, as moving
        averages lag behind what is trained; then merging changes nothing in inference. The optimizer's state of what
        they are merged into starts anew. The new BatchNormalization has the mean and variance of what it reads.

        Args:
          images: for branches, of training, as the network takes them, or a `tf.data.Dataset` of batches; the first few
            thousand are used. By default those `fit` is given. Without any, the moving averages stay, and the new
            variance is estimated as if branches were uncorrelated.
        """
        self._merge_branches(images)
        self._use_ghosts(False)

    def restore_ghosts(self) -> None:
        """Switches back to the ghosted view; branches that were merged go on from there, the new ones at zero."""
        for layer in self.branch_layers():
            if layer.merged.numpy():
                layer.merged.assign(False)
        self._use_ghosts(bool(self._ghosts))

    def branch_layers(self) -> list[GhostBranches]:
        """The layers of the view with ghosts that have branches."""
        # Not a property, in which Keras would look for weights to save.
        if self._arguments.branches == 1:
            return []
        return [part for part in self.ghosted.submodules if isinstance(part, GhostBranches)]

    def unmerged_branches(self) -> list[GhostBranches]:
        """Those of them whose branches are not merged yet."""
        return [layer for layer in self.branch_layers() if not layer.merged.numpy()]

    @property
    def merges(self) -> int:
        """How many times branches were merged since the model was made."""
        return self._merges

    def _merge_branches(self, images: Any) -> None:
        layers = self.unmerged_branches()
        if not layers:
            return
        data = self.fit_data if images is None else images
        data = (images, None) if images is not None and not isinstance(images, tf.data.Dataset) else data
        merge_branches(self.ghosted, self.plain, layers, data)
        if getattr(self, "optimizer", None) is not None:
            for layer in layers:
                for variable in (*merged_variables(layer), *layer.new_weights):
                    set_to_first_values(self.optimizer, variable)
        self._merges += 1

    def branches_merged(self) -> contextlib.AbstractContextManager[None]:
        """In its block the plain view computes, in inference, what its branches compute together."""
        return as_if_merged(self.unmerged_branches())

    def compact_training(self) -> CompactionReport:
        """Leaves dead channels out of the steps of `fit` and `evaluate`, until the current `fit` ends.

        Losses, gradients and weights stay those of the plain view, whose dead channels change nothing (see
        `TrainingView`); so do checkpoints and what is exported. In the middle of `fit`, it takes effect from the next
        step on. A `CompactTraining` calls it when there are no ghosts, which need all channels.

        Raises:
          TostError: ghosts are in use, or the view cannot be trained without its dead channels.
        """
        if self.ghosts_active:
            raise TostError(f"the ghosts of {self.name} are in use, and they need channels that are dead without them")
        report = self._compact.start(self.plain)
        self._trace_again()
        return report

    def require_same_masks(self) -> None:
        """Raises `TostError` if dead channels are left out, and masks have changed since."""
        self._compact.require_same_masks()

    def save(self, filepath, overwrite=True, save_format=None, **kwargs):
        if save_format == "h5" or os.fspath(filepath).endswith((".h5", ".hdf5")):
            save_hdf5(self, os.fspath(filepath), overwrite, kwargs.get("include_optimizer", True))
        else:
            super().save(filepath, overwrite, save_format, **kwargs)

    def arguments(self) -> dict[str, Any]:
        """What it was made with besides the sparse model."""
        return {field.name: getattr(self._arguments, field.name) for field in dataclasses.fields(self._arguments)}

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "sparse": config_of_part(self, self.plain),
            **self.arguments(),
            "neurons": config_of(self._arguments.neurons),
            "skips": config_of(self._arguments.skips),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        with keras.utils.custom_object_scope(custom_objects or {}):
            return cls(**(config | {"sparse": keras.layers.deserialize(config["sparse"])}))

    def call(self, inputs, training=None):
        if self._ghosts and self._switch.is_needed():
            return self._switch.call(self.ghosted, self.plain, inputs, training)
        view = self._compact.of_step or self.plain
        return (self.ghosted if self.ghosts_active else view)(inputs, training=training)

    def train_step(self, data):
        with self._switch.not_needed(), self._compact.in_step():
            return train_step(self, data, super().train_step, compact=self._compact.of_step is not None)

    def test_step(self, data):
        with self._switch.not_needed(), self._compact.in_step():
            return super().test_step(data)

    def predict_step(self, data):
        with self._switch.not_needed(), self._compact.in_step():
            return super().predict_step(data)

    @property
    def fit_data(self) -> Any:
        """What `fit` is being given to train on: inputs, labels and weights; `None` outside of it."""
        return self._held.value

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        **kwargs,
    ):
        given = getattr(callbacks, "callbacks", callbacks)  # a list, one, or a CallbackList
        fading = any(getattr(callback, "fades_ghosts", False) for callback in tf.nest.flatten(given))
        if self.ghosts_active and not fading:
            logging.warning(
                "%s has %d ghosts and no GhostSchedule among the callbacks of fit: they stay as they are",
                self.name,
                len(self._ghosts),
            )
        if self.ghosts_active and self._wakes_channels:
            name_starved(self.plain)
        self._held.value = for_training(x, y, sample_weight, validation_split)
        kwargs |= {"validation_split": validation_split, "validation_data": validation_data, "shuffle": shuffle}
        kwargs |= {"class_weight": class_weight, "sample_weight": sample_weight}
        try:
            return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)
        finally:
            self._held.value = None
            if self._compact.stop():
                self._trace_again()

    def __repr__(self) -> str:
        kinds = " and ".join(dict.fromkeys(ghost.kind for ghost in self._ghosts))
        ghosts = f"{len(self._ghosts)} ghosts ({kinds}), {'in use' if self.ghosts_active else 'gone'}"
        return f"<{type(self).__name__} {self.name}: {ghosts if self._ghosts else 'no ghosts'}; {masked(self.plain)}>"

    def summary(self, *args, print_fn=None, **kwargs) -> None:
        """Keras's summary of the plain view, then what is masked, and `describe`."""
        self.plain.summary(*args, print_fn=print_fn, **kwargs)
        tell = print_fn or print
        for path, mask in current_masks(self.plain).items():
            tell(f"masked: {path:40} {mask.size:10,} weights, {1 - mask.mean():7.2%} zero")
        tell(self.describe())

    def describe(self) -> str:
        """A table of the ghosts: layer, kind, shape of the output, and extra parameters; and what was left alone.

        The first line is that of `repr`.

        Left out are activations that are no ReLU or are inside other layers, and kernels that no mask reaches.
        """
        lines = [repr(self), *table_of_ghosts(self._ghosts), *lines_of_left_alone(self.left_alone, self._inside)]
        left = str(left_dense(self.plain))
        return "\n".join([*lines, left] if left else lines)
