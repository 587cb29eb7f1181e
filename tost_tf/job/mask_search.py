"""The masks of a run: found before, read from a file, or searched for."""

import dataclasses
import inspect
import logging
import time
from pathlib import Path

from tost_tf.compat import keras
from tost_tf.config.learning_rate import default_drops, step_drops
from tost_tf.config.names import MASKS
from tost_tf.config.recipe import RECIPES
from tost_tf.config.run_config import RunConfig
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import balanced_batches, evaluation_batches, steps_per_epoch, training_batches
from tost_tf.errors import TostError
from tost_tf.losses import cross_entropy
from tost_tf.lottery.ticket import LotteryPlan, LotterySearch
from tost_tf.masks.mask import Masks
from tost_tf.masks.prunable import prunable_weights
from tost_tf.models.weights import load_weights, save_weights
from tost_tf.train.callbacks import NonFiniteLoss, StopOnNonFiniteLoss
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


def find_mask(config: RunConfig, model: keras.Model, data: ImageData, directory: RunDirectory) -> FoundMask:
    """The run's masks, saved in its directory. A lottery ticket's weights are put into `model`.

    Raises:
      TostError: a mask file cannot be read or does not fit the model, or the search fails.
    """
    if config.mask.mask == "none":
        return FoundMask(None, 0.0)
    is_ticket = config.mask.mask == "lottery" and not config.mask.mask_file
    if directory.mask.exists():
        masks = Masks.load(directory.mask)
        require_fit(masks, model)
        if is_ticket:
            load_weights(model, directory.ticket_weights)
        return _warned(FoundMask(masks, directory.read_mask_seconds()))
    start = time.perf_counter()
    masks = search_mask(config, model, data, directory.lottery)
    found = FoundMask(masks, time.perf_counter() - start)
    report = {"mask_seconds": found.seconds, "sparsity": masks.sparsity, "layer_sparsity": masks.layer_sparsity}
    # The mask last: where it is, everything that belongs to it is.
    write_json(directory.mask_report, report | {"collapsed_layers": masks.collapsed_layers})
    if is_ticket:
        save_weights(model, directory.ticket_weights)
    masks.save(directory.mask)
    return _warned(found)


def search_mask(config: RunConfig, model: keras.Model, data: ImageData, lottery_folder: Path) -> Masks:
    """Reads `--mask_file` or finds new masks; a search for a lottery ticket keeps its rounds in a folder."""
    if config.mask.mask_file:
        masks = Masks.load(config.mask.mask_file)
        require_fit(masks, model)
    elif config.mask.mask == "lottery":
        masks = _find_ticket(config, model, data, lottery_folder)
    else:
        masks = _find(config, model, data)
    return masks.shuffled(config.training.seed) if config.mask.mask_shuffle else masks


def require_fit(masks: Masks, model: keras.Model) -> None:
    """Raises `TostError` unless the masks are those of the model's prunable weights."""
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    masks.require_match(shapes, f"the model {model.name!r}")


def _find(config: RunConfig, model: keras.Model, data: ImageData) -> Masks:
    function = MASKS[config.mask.mask]
    options = {
        # Where it starts, if it is pruned further while training.
        "sparsity": config.dynamic.initial_sparsity if config.dynamic.prunes else config.mask.sparsity,
        "scope": config.mask.mask_scope,
        "seed": config.training.seed,
        "dense_layers": config.mask.dense_layers,
        "iterations": config.mask.synflow_iterations,
    }
    parameters = inspect.signature(function).parameters  # each way to find a mask takes what it needs
    needs_data = parameters["dataset"].default is inspect.Parameter.empty
    sample = balanced_batches(data, config.mask.mask_examples_per_class, config.training.seed) if needs_data else None
    return function(model, sample, **{name: value for name, value in options.items() if name in parameters})


def _find_ticket(config: RunConfig, model: keras.Model, data: ImageData, folder: Path) -> Masks:
    """Every round trains by the default recipe, as the original does, whatever the run's own recipe is."""
    mask, training = config.mask, config.training
    plan = LotteryPlan(
        mask.sparsity,
        mask.lottery_epochs,
        mask.lottery_fraction,
        mask.rewind_epoch,
        mask.lottery_mode,
        mask.dense_layers,
    )
    steps = steps_per_epoch(len(data.train), training.batch_size)
    drops = default_drops(mask.lottery_epochs)

    def rate(epoch: int, _: float) -> float:
        return step_drops(epoch, training.learning_rate, drops, training.lr_drop_factor)

    def train(sparse: keras.Model, first: int, last: int) -> float:
        optimizer = CoupledSGD(training.learning_rate, training.momentum, training.weight_decay)
        sparse.compile(optimizer, cross_entropy(RECIPES["default"].label_smoothing), metrics=["accuracy"])
        batches = training_batches(data, training.batch_size, training.seed, last, first, config.data.augment)
        callbacks = [keras.callbacks.LearningRateScheduler(rate), StopOnNonFiniteLoss()]
        sparse.fit(batches, epochs=last, initial_epoch=first, steps_per_epoch=steps, callbacks=callbacks, verbose=0)
        validation = evaluation_batches(data, data.validation)
        return sparse.evaluate(validation, verbose=0, return_dict=True)["accuracy"]

    try:
        return LotterySearch(plan, train, folder).find(model)
    except NonFiniteLoss as error:
        raise TostError(f"the search for a ticket stopped, {error}: a lower --learning_rate may help") from None


def _warned(found: FoundMask) -> FoundMask:
    if found.collapsed_layers:
        logging.warning(
            "no weight is left in %s: a gradient passes there only by a shortcut, if there is one",
            ", ".join(found.collapsed_layers),
        )
    return found
