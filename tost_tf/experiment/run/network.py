"""The network of a run: built, masked, with ghosts, and compiled, all from its config."""

from __future__ import annotations

import dataclasses

import numpy as np

from tost_tf import models
from tost_tf.compat import keras, tf
from tost_tf.convert.torch_weights import load_torch_weights
from tost_tf.data.images import ImageData
from tost_tf.errors import TostError
from tost_tf.experiment.mask_options import MaskConfig
from tost_tf.experiment.name_map import read_name_map
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.optimizer import make_optimizer
from tost_tf.ghost.branch_places import branch_places
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.precision import in_precision
from tost_tf.graph.rebuild import rebuild
from tost_tf.graph.weights import are_saved_here, read_weights, require_layers, set_named_weights
from tost_tf.masks.masks import Masks
from tost_tf.masks.sparsify import sparsify, with_dense_gradients
from tost_tf.seeds import derive_seed
from tost_tf.training.distill import DistilledModel
from tost_tf.training.losses import Distillation, cross_entropy
from tost_tf.training.teacher import Teacher


def build_model(config: RunConfig, data: ImageData) -> keras.Model:
    """The dense network of the run, with initial weights from its seed or from `--initial_weights`.

    Raises:
      TostError: the weights file cannot be read or is for another model.
    """
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(derive_seed(config.training.seed, "weights"))
    model = models.build(config.model.model, data.image_shape, data.num_classes, config.model.width_multiplier)
    require_layers(model, config.mask.new_layers)
    if config.mask.initial_weights:
        _start_from(model, config.mask)
    return model


def _start_from(model: keras.Model, mask: MaskConfig) -> None:
    """Loads the weights of `--initial_weights` into the model, from either kind of file."""
    arrays = read_weights(mask.initial_weights)
    if are_saved_here(arrays):
        set_named_weights(model, arrays, mask.initial_weights, mask.new_layers)
        return
    try:
        load_torch_weights(model, arrays, read_name_map(mask.name_map), mask.new_layers)
    except TostError as error:
        raise TostError(f"the weights in {mask.initial_weights!r} cannot be imported: {error}") from None


def in_full_precision(config: RunConfig) -> RunConfig:
    """The same run computed in float32, for evaluation and export after training."""
    return dataclasses.replace(
        config, machine=dataclasses.replace(config.machine, mixed_precision="none", jit_compile=False)
    )


def without_branches(config: RunConfig) -> RunConfig:
    """The same run without branches, for what needs one kernel a layer."""
    return dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, ghost_branches=1))


def require_branches(config: RunConfig, model: keras.Model) -> None:
    """Raises `TostError` if the run wants branches and no layer of the network can have some."""
    if config.recipe.has_branches and not branch_places(model):
        raise TostError(
            f"--ghost_branches={config.recipe.ghost_branches} needs a convolution or Dense layer that only a "
            f"BatchNormalization with gamma and beta reads, and {model.name} has none: leave it out"
        )


def training_loss(config: RunConfig) -> keras.losses.Loss:
    """The loss of the run; with a teacher it takes the labels and the teacher's logits."""
    recipe = config.recipe
    if recipe.teacher:
        return Distillation(recipe.distill_weight, recipe.distill_temperature, recipe.label_smoothing)
    return cross_entropy(recipe.label_smoothing)


def add_ghosts(
    config: RunConfig, model: keras.Model, masks: Masks | None, teacher: Teacher | None = None
) -> GhostModel:
    """A sparse copy of the model with the run's ghosts in their initial state, and its teacher if it has one.

    Raises:
      TostError: no ghost fits the model.
    """
    recipe = config.recipe
    # Seeded here, so the ghosts' weights do not depend on random numbers drawn before.
    keras.utils.set_random_seed(derive_seed(config.training.seed, "ghosts"))
    sparse = rebuild(model, copy_layer) if masks is None else sparsify(model, masks)
    ghosts = {
        "neurons": recipe.ghost_neurons,
        "skips": recipe.ghost_skips,
        "skip_initializer": recipe.ghost_skip_initializer,
        "beta": recipe.beta_start,
        "skip_gate": recipe.ghost_skip_gate,
        "seed": config.training.seed,
        "dead_channels": recipe.ghost_dead_channels,
        "branches": recipe.ghost_branches,
    }
    ghosted = DistilledModel(sparse, **ghosts, teacher=teacher) if teacher else GhostModel(sparse, **ghosts)
    if recipe.has_ghosts and not ghosted.ghosts:
        raise TostError(
            f"{model.name} has no ReLU and no spatial convolution after another layer, so no ghost fits it: "
            "use --recipe=default"
        )
    return ghosted


def find_dead_channels(config: RunConfig, model: GhostModel, images: np.ndarray) -> dict[str, int]:
    """Lets the ghost neurons of a model that is not trained yet leave dead channels dead, if the run wants that.

    Args:
      config: of the run.
      model: with ghosts; checkpoints keep which channels are dead.
      images: the first training images, a batch of them.

    Returns:
      Name of a ghost neuron -> how many channels are dead.
    """
    return model.find_dead_channels(images) if config.recipe.ghost_dead_channels == "relu" else {}


def add_ghosts_and_compile(
    config: RunConfig, model: keras.Model, masks: Masks | None, teacher: Teacher | None = None
) -> GhostModel:
    """As `add_ghosts`, but compiled, with an optimizer built for all weights that will be trained.

    Must be called in the scope of the run's distribution strategy. The model itself is built outside it, where its
    mask is found; this makes a copy.
    """
    machine = config.machine
    ghosted = add_ghosts(config, in_precision(model, machine.mixed_precision), masks, teacher)
    optimizer = make_optimizer(config.training, config.recipe.optimizer_tweak)
    if config.keeps_gradients:
        optimizer.keep_gradients(with_dense_gradients(ghosted.plain))
    if machine.mixed_precision == "float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    ghosted.compile(optimizer, training_loss(config), metrics=["accuracy"], jit_compile=machine.jit_compile or None)
    optimizer.build(ghosted.trainable_weights)
    return ghosted
