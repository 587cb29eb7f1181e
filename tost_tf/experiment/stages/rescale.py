"""The stage that rescales the initialisation."""

from __future__ import annotations

import math

from tost_tf.data.pipeline import first_examples, steps_per_epoch, training_batches
from tost_tf.experiment.run.network import add_ghosts, find_dead_channels, training_loss, without_branches
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages.stage import RunNetwork, Stage
from tost_tf.files import write_json
from tost_tf.graph.weights import load_weights, save_weights
from tost_tf.masks.sparsify import strip
from tost_tf.report.figures import scales_by_tensor
from tost_tf.seeds import derive_seed
from tost_tf.training.distill import with_soft_labels
from tost_tf.training.rescale import rescale_init

HALF_BATCHES_PER_STEP = 3


def compute(run: Run, network: RunNetwork) -> None:
    """Rescales the initial weights, with the run's ghosts in their initial state, and saves and draws the scales.

    Without branches: these take over the norms of the rescaled filters.

    Raises:
      TostError: the loss is not finite.
    """
    config, data, directory, teacher = run.config, run.data, run.directory, run.teacher()
    recipe, training = config.recipe, config.training
    print(f"rescaling the initialisation, {recipe.rescale_steps} steps", flush=True)
    half = max(1, training.batch_size // 2)
    epochs = math.ceil(HALF_BATCHES_PER_STEP * recipe.rescale_steps / steps_per_epoch(len(data.train), half))
    seed, images = derive_seed(training.seed, "rescale"), config.data
    padding = 0 if images.adaptive_crops else images.crop_padding  # as training begins
    halves = training_batches(data, half, seed, epochs, augment=images.augment, crop_padding=padding)
    if teacher:
        halves = halves.map(lambda images, labels: (images, with_soft_labels(images, labels, teacher)))
    ghosted = add_ghosts(without_branches(config), network.dense, network.masks)
    find_dead_channels(config, ghosted, first_examples(data, data.train, training.batch_size)[0])
    scales = rescale_init(ghosted, halves, steps=recipe.rescale_steps, loss=training_loss(config))
    save_weights(strip(ghosted.plain), directory.rescaled_weights)
    scales_by_tensor(scales, directory.figures / "scales.png", "scales of the initialisation")
    # The scales are written last: if they exist, the weights exist.
    write_json(directory.scales, scales)


STAGE = Stage(
    "the rescaled initialisation",
    is_done=lambda run: run.directory.scales.exists(),
    compute=compute,
    read=lambda run, network: load_weights(network.dense, run.directory.rescaled_weights),
    is_wanted=lambda config: config.recipe.rescale_init,
)
