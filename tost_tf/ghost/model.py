"""A model with two views: with ghosts and without."""

from __future__ import annotations

import contextlib
import logging

import numpy as np

from tost_tf.compat import keras, own_steps, require_graph_model, tf
from tost_tf.ghost import NO_GHOST
from tost_tf.ghost.activation import SOFT
from tost_tf.ghost.dead_channels import find_dead_channels, name_starved
from tost_tf.ghost.graph import Ghost, GhostGraph
from tost_tf.ghost.share import share_of_batch
from tost_tf.ghost.switch import Switch
from tost_tf.graph.left_dense import left_dense
from tost_tf.registry import GHOST_NEURONS, GHOST_SKIPS


class GhostModel(keras.Model):
    """Trains a sparse model first with ghosts and later without them; both views share all layers of the model.

    It is compiled and fitted like any Keras model. While ghosts are active, `fit`, `evaluate` and `predict` use the
    ghosted view; after `remove_ghosts` (which a `GhostSchedule` calls) they use the plain view, at its cost. A user's
    `tf.function` that calls the model switches too, whenever it was traced.

    Args:
      sparse: a functional or Sequential tf_keras model, usually made by `sparsify`.
      neurons: "pswish", "mish", a registered kind, or "none".
      skips: "projection", "identity", a registered kind, or "none".
      skip_initializer: of projection skips, "constant" (the authors'), "he_normal" or "dirac".
      beta: the initial β of ghost neurons.
      skip_gate: how α joins a skip to its block: "scaled" (the paper's), "stochastic", "variance_preserving" or a
        registered one.
      seed: of the draws of stochastic gates.
      dead_channels: "soft" (the paper's), or "relu" for ghost neurons that stay ReLU on channels that do not vary, once
        `find_dead_channels` has looked for them.

    Attributes:
      plain: the plain view, `sparse` itself.
      ghosted: the ghosted view.
      ghosts: a list of `Ghost`.
      left_alone: layer -> activation, for activations that are not ReLU and do not change.

    If the class of `sparse` overrides `train_step` or similar methods, these are not used, and a warning is logged.

    Raises:
      TostError: `sparse` is a subclassed or Keras 3 model, or a kind is unknown.
    """

    def __init__(
        self,
        sparse: keras.Model,
        neurons: str = "pswish",
        skips: str = "projection",
        skip_initializer: str = "constant",
        beta: float = 1.0,
        skip_gate: str = "scaled",
        seed: int = 0,
        dead_channels: str = SOFT,
        **kwargs,
    ):
        require_graph_model(sparse)
        for registry, kind in ((GHOST_NEURONS, neurons), (GHOST_SKIPS, skips)):
            if kind != NO_GHOST:
                registry.check(kind)
        super().__init__(name=kwargs.pop("name", f"{sparse.name}_with_ghosts"), **kwargs)
        own = own_steps(sparse)
        if own:
            logging.warning(
                "%s overrides %s, which is not used with ghosts: write it in a subclass of GhostModel",
                type(sparse).__name__,
                " and ".join(own),
            )
        skip_options = {"kernel_initializer": skip_initializer, "gate": skip_gate, "seed": seed}
        graph = GhostGraph(sparse, neurons, skips, skip_options, beta, dead_channels)
        self.plain = sparse
        self.ghosted = graph.view
        self._ghosts = tuple(graph.ghosts)
        self._left_alone = tuple(graph.left_alone.items())
        self._inside = tuple(graph.inside)
        self._wakes_channels = neurons != NO_GHOST and dead_channels == SOFT
        self._ghosts_active = bool(graph.ghosts)
        self._switch = Switch(self._ghosts_active)
        with self._switch.not_needed():
            self.build(sparse.input_shape)

    @property
    def ghosts(self) -> list[Ghost]:
        return list(self._ghosts)

    @property
    def left_alone(self) -> dict[str, str]:
        return dict(self._left_alone)

    @property
    def ghosts_active(self) -> bool:
        return self._ghosts_active

    @property
    def view(self) -> keras.Model:
        """The view in use."""
        return self.ghosted if self._ghosts_active else self.plain

    def find_dead_channels(self, images: np.ndarray) -> dict[str, int]:
        """Keeps ReLU, in the view with ghosts, on the channels that do not vary over some images.

        To be called once, before training; the answer is kept in weights. It takes `dead_channels="relu"`.

        Args:
          images: as the network takes them: a batch or so of the training images.

        Returns:
          Name of a ghost neuron -> how many of its channels are dead, for those that have some.
        """
        return find_dead_channels(self.ghosted, images)

    def fit(self, *args, **kwargs):
        if self._wakes_channels and self._ghosts_active:
            name_starved(self.plain)
        return super().fit(*args, **kwargs)

    def remove_ghosts(self) -> None:
        """Switches to the plain view; in the middle of `fit`, from the next step on."""
        self._use_ghosts(False)

    def restore_ghosts(self) -> None:
        """Switches back to the ghosted view."""
        self._use_ghosts(bool(self._ghosts))

    def _use_ghosts(self, active: bool) -> None:
        if active == self._ghosts_active:
            return
        self._ghosts_active = active
        self._switch.set(active)
        # Keras keeps the traced steps of the other view: make it trace again what it has traced.
        if self.train_function is not None:
            self.make_train_function(force=True)
        if self.test_function is not None:
            self.make_test_function(force=True)
        if self.predict_function is not None:
            self.make_predict_function(force=True)

    def one_view(self) -> contextlib.AbstractContextManager[None]:
        """In its block, graphs that are traced compute the view in use only, and do not switch when the ghosts end."""
        return self._switch.not_needed()

    def call(self, inputs, training=None):
        if self._ghosts and self._switch.is_needed():
            return self._switch.call(self.ghosted, self.plain, inputs, training)
        return self.view(inputs, training=training)

    def train_step(self, data):
        with self._switch.not_needed():
            return self._train_step(data)

    def test_step(self, data):
        with self._switch.not_needed():
            return super().test_step(data)

    def predict_step(self, data):
        with self._switch.not_needed():
            return super().predict_step(data)

    def _train_step(self, data):
        several = self.distribute_strategy.num_replicas_in_sync > 1
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        ascends = getattr(optimizer, "ascends", False)
        if not (several or ascends):
            return super().train_step(data)
        # Keras's step, with a loss that is also right if a batch cannot be split evenly, at weights that an optimizer
        # moves.
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables
        before = optimizer.ascend(variables) if ascends else None
        with tf.GradientTape() as tape:
            outputs = self(images, training=True)
            loss = self.compute_loss(images, labels, outputs, weights)
            if several:
                loss *= tf.cast(share_of_batch(tf.shape(tf.nest.flatten(images)[0])[0]), loss.dtype)
        gradients = self.optimizer.compute_gradients(loss, variables, tape=tape)
        for variable, value in zip(variables, before or (), strict=False):
            variable.assign(value)
        self.optimizer.apply_gradients(gradients)
        return self.compute_metrics(images, labels, outputs, weights)

    # Only the weights of the view in use: Keras would warn at every step about weights without a gradient.
    @property
    def trainable_weights(self) -> list[tf.Variable]:
        return self.view.trainable_weights

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        return self.view.non_trainable_weights

    @property
    def weights(self) -> list[tf.Variable]:
        return self.view.weights

    @property
    def losses(self) -> list[tf.Tensor]:
        return self._switch.losses(self.view)

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        children = super()._trackable_children(save_type, **kwargs)
        # A SavedModel computes with the switch; checkpoints hold weights alone.
        return children | ({"ghosts_active": self._switch.variable} if save_type == "savedmodel" else {})

    def describe(self) -> str:
        """A table of the ghosts: layer, kind, shape of the output, and extra parameters; and what was left alone.

        These are activations that are not ReLU or are inside other layers, and kernels that no mask can reach.
        """
        lines = [f"{'layer':40} {'ghost':12} {'shape':20} {'parameters':>10}"]
        for ghost in self._ghosts:
            shape = "×".join(map(str, ghost.shape))
            lines.append(f"{ghost.layer:40} {ghost.kind:12} {shape:20} {ghost.extra_parameters:10,}")
        total = sum(ghost.extra_parameters for ghost in self._ghosts)
        lines.append(f"{f'{len(self._ghosts)} ghosts':74} {total:10,}")
        if self._left_alone:
            alone = ", ".join(f"{layer} ({activation})" for layer, activation in self._left_alone)
            lines.append(f"left alone, since they are not ReLU: {alone}")
        if self._inside:
            lines.append(f"left alone, since they are inside another layer: {', '.join(self._inside)}")
        left = str(left_dense(self.plain))
        if left:
            lines.append(left)
        return "\n".join(lines)
