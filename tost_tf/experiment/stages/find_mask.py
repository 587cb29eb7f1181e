"""The stage that finds the masks: reads a file, or searches for them."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from tost_tf.compat import keras
from tost_tf.convert.torch_masks import masks_from_torch
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import balanced_batches, evaluation_batches, steps_per_epoch, training_batches
from tost_tf.errors import TostError
from tost_tf.experiment.mask_options import NO_MASK, MaskConfig
from tost_tf.experiment.name_map import read_name_map
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.recipe import Recipe
from tost_tf.experiment.run.callbacks import NonFiniteLoss, StopOnNonFiniteLoss
from tost_tf.experiment.run.optimizer import make_optimizer, rate_callback
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages.stage import RunNetwork, Stage
from tost_tf.files import read_json, write_json
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.left_dense import left_dense
from tost_tf.graph.weights import load_weights, save_weights
from tost_tf.masks.connection import NO_PATH, depends_on_input, name_collapsed
from tost_tf.masks.layer_sparsity import parsed_layer_sparsity
from tost_tf.masks.masks import Masks, read_mask_arrays
from tost_tf.masks.patterns.pattern import Pattern, found_pattern, parsed_pattern, ranked_kernels
from tost_tf.masks.search import FoundMask, MaskSearch
from tost_tf.registry import MASKS
from tost_tf.training.learning_rate import default_drops
from tost_tf.training.losses import cross_entropy

DEPENDS = "logits_depend_on_input"


def compute(run: Run, network: RunNetwork) -> None:
    """Finds the run's masks, and saves them; for a lottery ticket also the weights that belong to them.

    Raises:
      TostError: a mask file cannot be read or does not fit the model, or the search fails.
    """
    directory, start = run.directory, time.perf_counter()
    found = search_mask(run.config, network.dense, run.data, directory.lottery)
    masks = found.masks
    # The mask is written last: if it exists, everything that belongs to it exists.
    seconds = time.perf_counter() - start
    if found.weights is not None:
        network.dense.set_weights(found.weights)
    write_json(directory.mask_report, mask_report(masks, seconds, network.dense, run.config.mask.dense_layers))
    if found.weights is not None:
        save_weights(network.dense, directory.ticket_weights)
    masks.save(directory.mask)


def read(run: Run, network: RunNetwork) -> None:
    """Reads the masks, and loads the weights that belong to them into the network.

    Raises:
      TostError: a file cannot be read or does not fit the model.
    """
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(network.dense).items()}
    masks = Masks.load(run.directory.mask).for_weights(shapes)
    require_fit(masks, network.dense)
    if run.directory.ticket_weights.exists():
        load_weights(network.dense, run.directory.ticket_weights)
    if not masks.collapsed_layers and not read_json(run.directory.mask_report).get(DEPENDS, True):
        logging.warning("the network cannot learn: %s", NO_PATH)
    network.masks = masks


STAGE = Stage(
    "the mask",
    is_done=lambda run: run.directory.mask.exists(),
    compute=compute,
    read=read,
    is_wanted=lambda config: config.mask.mask != NO_MASK,
)


def mask_report(masks: Masks, seconds: float, model: keras.Model, dense_layers: str = "") -> dict[str, Any]:
    """The content of `mask.json`: the masks of a model, the seconds of their search, and the kernels left dense."""
    left = left_dense(model, dense_layers)
    return {
        "mask_seconds": seconds,
        "sparsity": masks.sparsity,
        "pattern": found_pattern(masks, model).text,
        "sparsity_of_all_kernels": left.sparsity(masks.size - masks.kept),
        "left_dense": left.shares,
        "layer_sparsity": masks.layer_sparsity,
        "collapsed_layers": masks.collapsed_layers,
        DEPENDS: depends_on_input(model, masks),
    }


def search_mask(config: RunConfig, model: keras.Model, data: ImageData, folder: Path) -> FoundMask:
    """Reads `--mask_file` or `--from_torch`, or finds new masks; a long search saves its progress in `folder`."""
    if config.mask.file:
        masks = _read_file(config.mask, model)
        require_fit(masks, model)
        name_collapsed(masks, model)
        found = FoundMask(masks)
        _require_pattern(parsed_pattern(config.mask.mask_pattern), config.mask, masks, model)
    else:
        found = _found(config, model, data, folder)
    if not config.mask.mask_shuffle:
        return found
    return dataclasses.replace(found, masks=found.masks.shuffled(config.training.seed))


def require_fit(masks: Masks, model: keras.Model) -> None:
    """Raises `TostError` unless the masks are those of the model's prunable weights."""
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    masks.require_match(shapes, f"the model {model.name!r}")


def _read_file(mask: MaskConfig, model: keras.Model) -> Masks:
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    if mask.mask_file:
        masks = Masks.load(mask.mask_file)
        return masks.without(mask.new_layers).completed(shapes, mask.dense_layers, mask.new_layers)
    arrays = read_mask_arrays(mask.from_torch)
    names = read_name_map(mask.name_map)
    try:
        return masks_from_torch(arrays, model, names, mask.dense_layers, mask.new_layers, print)
    except TostError as error:
        raise TostError(f"the masks in {mask.from_torch!r} cannot be imported: {error}") from None


def _found(config: RunConfig, model: keras.Model, data: ImageData, folder: Path) -> FoundMask:
    mask, seed = config.mask, config.training.seed
    method, pattern = MASKS[mask.mask], _pattern_at_start(config)
    sparsity = config.dynamic.initial_sparsity if config.dynamic.prunes else mask.sparsity
    search = MaskSearch(
        model,
        sparsity if pattern.sparsity is None else None,
        mask.mask_scope,
        mask.dense_layers,
        seed,
        examples=lambda per_class: balanced_batches(data, per_class, seed),
        train=lambda *arguments: _train_round(config, data, *arguments),
        folder=folder,
        keep_zeros=mask.keep_zeros and method.has_sparsity and config.brings_weights,
        layer_sparsity=parsed_layer_sparsity(mask.layer_sparsity),
        pattern=pattern,
    )
    search.require_fit()
    _warn_of_zeros(search)
    options = config.method_options(method.options)
    try:
        found = method.find(search) if options is None else method.find(search, options)
    except NonFiniteLoss as error:
        raise TostError(f"the search for the mask stopped, {error}: a lower --learning_rate may help") from None
    _require_pattern(pattern, mask, found.masks, model)
    _require_by_hand(mask, search, found.masks)
    return found


def _pattern_at_start(config: RunConfig) -> Pattern:
    """The pattern of the mask with which training starts; it may prune further."""
    pattern = parsed_pattern(config.mask.mask_pattern)
    return pattern.at(config.dynamic.initial_sparsity) if config.dynamic.prunes else pattern


def _require_pattern(pattern: Pattern, mask: MaskConfig, masks: Masks, model: keras.Model) -> None:
    """Raises `TostError` if masks that were read, or found by a user's method, do not have the pattern."""
    for path, (_, axes) in ranked_kernels(model, mask.dense_layers).items():
        if not masks[path].all() and not pattern.holds(masks[path], axes):
            source = f"the mask in {mask.file}" if mask.file else f"the mask of --mask={mask.mask}"
            raise TostError(
                f"{source} does not have --mask_pattern={mask.mask_pattern} in {path}: leave the pattern out, or find "
                "a mask that has it"
            )


def _require_by_hand(mask: MaskConfig, search: MaskSearch, masks: Masks) -> None:
    """Raises `TostError` if a method, for example a user's, did not use the sparsities set for layers."""
    sizes = {path: masks[path].size for path in search.weights()} if mask.layer_sparsity else {}
    for path, count in search.shares(sizes, "global").kept(sizes).items() if sizes else ():
        if abs(int(masks[path].sum()) - count) >= search.selection.step(path):
            raise TostError(
                f"--mask={mask.mask} ignores --layer_sparsity: it keeps {masks[path].sum()} weights of {path} "
                f"instead of {count}"
            )


def _warn_of_zeros(search: MaskSearch) -> None:
    zeros = sum(int((np.asarray(mask) == 0).sum()) for mask in search.pruned().values())
    if zeros:
        size = sum(weight.shape.num_elements() for weight in search.weights().values())
        logging.warning(
            "%.4g%% of the weights of %s are zero and count as pruned already (with --nokeep_zeros they do not)",
            100 * zeros / size,
            search.model.name,
        )


def _train_round(config: RunConfig, data: ImageData, sparse: keras.Model, first: int, last: int, epochs: int) -> float:
    """Trains one round of a lottery ticket: with the default recipe, as in the original, whatever the run's recipe is.

    The optimizer and its learning-rate schedule are those of the run. Returns the validation accuracy.
    """
    training, images = config.training, config.data
    steps = steps_per_epoch(len(data.train), training.batch_size)
    sparse.compile(make_optimizer(training), cross_entropy(Recipe().label_smoothing), metrics=["accuracy"])
    batches = training_batches(
        data, training.batch_size, training.seed, last, first, images.augment, crop_padding=images.crop_padding
    )
    callbacks = [rate_callback(training, epochs, default_drops(epochs), steps), StopOnNonFiniteLoss()]
    sparse.fit(batches, epochs=last, initial_epoch=first, steps_per_epoch=steps, callbacks=callbacks, verbose=0)
    return sparse.evaluate(evaluation_batches(data, data.validation), verbose=0, return_dict=True)["accuracy"]
