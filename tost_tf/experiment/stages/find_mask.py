"""The masks of a run: found before, read from a file, or searched for."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path

from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import balanced_batches, evaluation_batches, steps_per_epoch, training_batches
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.recipe import Recipe
from tost_tf.experiment.run.callbacks import NonFiniteLoss, StopOnNonFiniteLoss
from tost_tf.experiment.run.folder import RunDirectory, write_json
from tost_tf.experiment.run.optimizer import make_optimizer, rate_callback
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.weights import load_weights, save_weights
from tost_tf.masks.masks import Masks
from tost_tf.masks.search import FoundMask, MaskSearch
from tost_tf.registry import MASKS
from tost_tf.training.learning_rate import default_drops
from tost_tf.training.losses import cross_entropy


@dataclasses.dataclass(frozen=True)
class RunMask:
    """The masks of a run (`None` for a dense one) and the seconds it took to find them."""

    masks: Masks | None
    seconds: float

    @property
    def collapsed_layers(self) -> list[str]:
        return self.masks.collapsed_layers if self.masks is not None else []


def find_mask(config: RunConfig, model: keras.Model, data: ImageData, directory: RunDirectory) -> RunMask:
    """The run's masks, saved in its directory. The weights a mask belongs to (a ticket's) are put into `model`.

    Raises:
      TostError: a mask file cannot be read or does not fit the model, or the search fails.
    """
    if config.mask.mask == "none":
        return RunMask(None, 0.0)
    if directory.mask.exists():
        masks = Masks.load(directory.mask)
        require_fit(masks, model)
        if directory.ticket_weights.exists():
            load_weights(model, directory.ticket_weights)
        return _warned(RunMask(masks, directory.read_mask_seconds()))
    start = time.perf_counter()
    found = search_mask(config, model, data, directory.lottery)
    seconds, masks = time.perf_counter() - start, found.masks
    report = {"mask_seconds": seconds, "sparsity": masks.sparsity, "layer_sparsity": masks.layer_sparsity}
    # The mask last: where it is, everything that belongs to it is.
    write_json(directory.mask_report, report | {"collapsed_layers": masks.collapsed_layers})
    if found.weights is not None:
        model.set_weights(found.weights)
        save_weights(model, directory.ticket_weights)
    masks.save(directory.mask)
    return _warned(RunMask(masks, seconds))


def search_mask(config: RunConfig, model: keras.Model, data: ImageData, folder: Path) -> FoundMask:
    """Reads `--mask_file` or finds new masks; a long search keeps what it has found in `folder`."""
    if config.mask.mask_file:
        masks = Masks.load(config.mask.mask_file)
        require_fit(masks, model)
        found = FoundMask(masks)
    else:
        found = _found(config, model, data, folder)
    if not config.mask.mask_shuffle:
        return found
    return dataclasses.replace(found, masks=found.masks.shuffled(config.training.seed))


def require_fit(masks: Masks, model: keras.Model) -> None:
    """Raises `TostError` unless the masks are those of the model's prunable weights."""
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    masks.require_match(shapes, f"the model {model.name!r}")


def _found(config: RunConfig, model: keras.Model, data: ImageData, folder: Path) -> FoundMask:
    mask, seed = config.mask, config.training.seed
    method = MASKS[mask.mask]
    search = MaskSearch(
        model,
        # Where it starts, if it is pruned further while training.
        config.dynamic.initial_sparsity if config.dynamic.prunes else mask.sparsity,
        mask.mask_scope,
        mask.dense_layers,
        seed,
        examples=lambda per_class: balanced_batches(data, per_class, seed),
        train=lambda *arguments: _train_round(config, data, *arguments),
        folder=folder,
    )
    options = config.method_options(method.options)
    try:
        return method.find(search) if options is None else method.find(search, options)
    except NonFiniteLoss as error:
        raise TostError(f"the search for the mask stopped, {error}: a lower --learning_rate may help") from None


def _train_round(config: RunConfig, data: ImageData, sparse: keras.Model, first: int, last: int, epochs: int) -> float:
    """A round of a lottery ticket: by the default recipe, as the original does, whatever the run's own tweaks are.

    The optimizer and the schedule of its learning rate are the run's.
    """
    training = config.training
    steps = steps_per_epoch(len(data.train), training.batch_size)
    sparse.compile(make_optimizer(training), cross_entropy(Recipe().label_smoothing), metrics=["accuracy"])
    batches = training_batches(data, training.batch_size, training.seed, last, first, config.data.augment)
    callbacks = [rate_callback(training, epochs, default_drops(epochs), steps), StopOnNonFiniteLoss()]
    sparse.fit(batches, epochs=last, initial_epoch=first, steps_per_epoch=steps, callbacks=callbacks, verbose=0)
    return sparse.evaluate(evaluation_batches(data, data.validation), verbose=0, return_dict=True)["accuracy"]


def _warned(found: RunMask) -> RunMask:
    if found.collapsed_layers:
        logging.warning(
            "no weight is left in %s: a gradient passes there only by a shortcut, if there is one",
            ", ".join(found.collapsed_layers),
        )
    return found
