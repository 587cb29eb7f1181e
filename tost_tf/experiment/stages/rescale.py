"""The rescaled initialisation of a run."""

from __future__ import annotations

import math

from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import steps_per_epoch, training_batches
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.network import add_ghosts, training_loss
from tost_tf.files import write_json
from tost_tf.graph.weights import load_weights, save_weights
from tost_tf.masks.masks import Masks
from tost_tf.masks.sparsify import strip
from tost_tf.report.figures import scales_by_tensor
from tost_tf.seeds import derive_seed
from tost_tf.training.distill import with_soft_labels
from tost_tf.training.rescale import rescale_init
from tost_tf.training.teacher import Teacher

HALVES_A_STEP = 3


def rescale(
    config: RunConfig,
    model: keras.Model,
    masks: Masks | None,
    data: ImageData,
    directory: RunDirectory,
    teacher: Teacher | None = None,
) -> None:
    """Rescales the initial weights of `model` in place if the recipe says so, with the run's ghosts as they start.

    The scales are written to the run directory and drawn; a run that is launched again takes the weights it had.

    Raises:
      TostError: the loss is not finite.
    """
    recipe, training = config.recipe, config.training
    if not recipe.rescale_init:
        return
    if directory.scales.exists():
        load_weights(model, directory.rescaled_weights)
        return
    print(f"rescaling the initialisation, {recipe.rescale_steps} steps", flush=True)
    half = max(1, training.batch_size // 2)
    epochs = math.ceil(HALVES_A_STEP * recipe.rescale_steps / steps_per_epoch(len(data.train), half))
    halves = training_batches(data, half, derive_seed(training.seed, "rescale"), epochs, augment=config.data.augment)
    if teacher:
        halves = halves.map(lambda images, labels: (images, with_soft_labels(images, labels, teacher)))
    ghosted = add_ghosts(config, model, masks)
    scales = rescale_init(ghosted, halves, steps=recipe.rescale_steps, loss=training_loss(config))
    model.set_weights(strip(ghosted.plain).get_weights())
    save_weights(model, directory.rescaled_weights)
    scales_by_tensor(scales, directory.figures / "scales.png", "scales of the initialisation")
    # Last: where the scales are, the weights are.
    write_json(directory.scales, scales)
