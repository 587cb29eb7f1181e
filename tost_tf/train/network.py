"""The network of a run: built, masked, haunted and compiled, all from its config."""

import dataclasses
import json
import logging
import time

from tost_tf import models
from tost_tf.compat import keras
from tost_tf.config.names import MASKS
from tost_tf.config.run_config import RunConfig
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import training_batches
from tost_tf.errors import TostError
from tost_tf.ghost.model import GhostModel
from tost_tf.losses import cross_entropy
from tost_tf.masks.mask import Masks
from tost_tf.masks.prunable import prunable_weights
from tost_tf.seeds import derive_seed
from tost_tf.sparsity.sparsify import sparsify
from tost_tf.train.optimizer import CoupledSGD
from tost_tf.train.run_directory import RunDirectory, write_json


@dataclasses.dataclass(frozen=True)
class FoundMask:
    """The masks of a run (`None` for a dense one) and the seconds it took to find them."""

    masks: Masks | None
    seconds: float

    @property
    def collapsed_layers(self) -> list[str]:
        return self.masks.collapsed_layers if self.masks is not None else []


def build_model(config: RunConfig, data: ImageData) -> keras.Model:
    """The dense network of the run, with the weights its seed gives."""
    keras.utils.set_random_seed(derive_seed(config.training.seed, "weights"))
    return models.build(config.model.model, data.image_shape, data.num_classes, config.model.width_multiplier)


def find_mask(config: RunConfig, model: keras.Model, data: ImageData, directory: RunDirectory) -> FoundMask:
    """The run's masks: those it has found before, those of `--mask_file`, or new ones; saved in the run directory.

    Raises:
      TostError: a mask file cannot be read or does not fit the model.
    """
    if config.mask.mask == "none":
        return FoundMask(None, 0.0)
    if directory.mask.exists():
        masks = Masks.load(directory.mask)
        masks.require_match(_shapes(model), f"the model {model.name!r}")
        return FoundMask(masks, json.loads(directory.mask_report.read_text())["mask_seconds"])
    start = time.perf_counter()
    if config.mask.mask_file:
        masks = Masks.load(config.mask.mask_file)
        masks.require_match(_shapes(model), f"the model {model.name!r}")
    else:
        training = config.training
        batches = training_batches(data, training.batch_size, training.seed, 1, augment=False)
        masks = MASKS[config.mask.mask](
            model,
            batches,
            sparsity=config.mask.sparsity,
            scope=config.mask.mask_scope,
            seed=training.seed,
            dense_layers=config.mask.dense_layers,
        )
    found = FoundMask(masks, time.perf_counter() - start)
    report = {"mask_seconds": found.seconds, "sparsity": masks.sparsity, "layer_sparsity": masks.layer_sparsity}
    # The report first: where there is a mask there is a report.
    write_json(directory.mask_report, report | {"collapsed_layers": masks.collapsed_layers})
    masks.save(directory.mask)
    return found


def warn_of_collapse(found: FoundMask) -> None:
    """Warns where no weight of a layer is left."""
    if found.collapsed_layers:
        logging.warning(
            "no weight is left in %s: a gradient passes there only by a shortcut, if there is one",
            ", ".join(found.collapsed_layers),
        )


def haunt_and_compile(config: RunConfig, model: keras.Model, masks: Masks | None) -> GhostModel:
    """The sparse model with its ghosts, compiled, its optimizer built for every weight it will ever train."""
    recipe, training = config.recipe, config.training
    sparse = model if masks is None else sparsify(model, masks)
    haunted = GhostModel(
        sparse, recipe.ghost_neurons, recipe.ghost_skips, recipe.ghost_skip_initializer, recipe.beta_start
    )
    if recipe.has_ghosts and not haunted.ghosts:
        raise TostError(
            f"{model.name} has no ReLU and no spatial convolution behind another layer, so no ghost fits it: "
            "use --recipe=default"
        )
    optimizer = CoupledSGD(training.learning_rate, training.momentum, training.weight_decay)
    haunted.compile(optimizer, cross_entropy(recipe.label_smoothing), metrics=["accuracy"])
    optimizer.build(haunted.trainable_weights)
    return haunted


def _shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
