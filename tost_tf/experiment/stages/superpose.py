"""The stage that superposes the tickets of a run, and measures the accuracy of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import training_batches
from tost_tf.dynamic.tickets import ticket_path
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.evaluate import evaluate
from tost_tf.experiment.run.network import add_ghosts_and_compile, in_full_precision, without_branches
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages.stage import RunNetwork, Stage
from tost_tf.files import write_json
from tost_tf.graph.batch_norm import recalibrate
from tost_tf.graph.kernels import current_masks, is_ranked, prunable_weights
from tost_tf.graph.weights import load_weights, named_weights, save_weights
from tost_tf.masks.patterns.pattern import parsed_pattern
from tost_tf.masks.sparsify import masks_of_zeros, strip
from tost_tf.report.tickets import draw_tickets
from tost_tf.seeds import derive_seed
from tost_tf.training.superpose import Weights, newest_fraction, selected_by, superposed

# The previous average, a ticket, and its coefficient -> the new average, pruned.
Joiner = Callable[[Weights, Weights, float], dict[str, np.ndarray]]


def compute(run: Run, network: RunNetwork) -> None:
    """Superposes the tickets in the run's folder one by one; no choice depends on an accuracy.

    The last superposition is the result; its weights are saved with the accuracies of all. Without cycles it is the
    network at the end of ordinary training. As many weights are kept as in the masks of the network.

    Raises:
      TostError: a ticket is missing or cannot be read.
    """
    config, data, directory = run.config, run.data, run.directory
    final, options = strip(network.fitted.plain), config.superpose
    join = _joiner(config, final, current_masks(network.fitted.plain))
    tickets, superpositions = [], []
    for number in range(options.cycles(config.training.epochs) + 1):
        path = ticket_path(directory.tickets, number)
        if not path.exists():
            raise TostError(f"the ticket {path} is missing, so nothing can be superposed: train the run again")
        average = _arrays(final)
        load_weights(final, path)
        tickets.append({"epoch": _epoch(config, number), **_accuracies(final, data)})
        if number:
            _put(final, join(average, _arrays(final), newest_fraction(options.superpose, number, options.cima_factor)))
            recalibrate(final, _training_images(config, data, directory.read_metrics()))
        superpositions.append({"tickets": number + 1, "epoch": tickets[-1]["epoch"], **_accuracies(final, data)})
        print(
            f"ticket {number + 1}: test accuracy {100 * tickets[-1]['test_accuracy']:.2f}%, "
            f"superposed with those before {100 * superpositions[-1]['test_accuracy']:.2f}%",
            flush=True,
        )
    save_weights(final, directory.superposed_weights)
    title = f"{config.model.model}, {options.superpose}"
    draw_tickets(tickets, superpositions, directory.figures / "tickets.png", title)
    # Written last: if it exists, the weights exist.
    write_json(directory.superposition, {"tickets": tickets, "superpositions": superpositions})


def read(run: Run, network: RunNetwork) -> None:
    """Reads the superposition; its masks keep the weights that are not zero."""
    load_weights(network.dense, run.directory.superposed_weights)
    network.masks = masks_of_zeros(network.dense)
    config = without_branches(in_full_precision(run.config))
    network.model = add_ghosts_and_compile(config, network.dense, network.masks)
    network.model.remove_ghosts()
    network.epoch = run.config.training.epochs


STAGE = Stage(
    "the superposition",
    is_done=lambda run: run.directory.superposition.exists(),
    compute=compute,
    read=read,
    is_wanted=lambda config: config.superpose.is_on,
)


def _joiner(config: RunConfig, final: keras.Model, masks: Mapping[str, np.ndarray]) -> Joiner:
    """Adds a ticket to the average and prunes to the density of `masks`; layers left dense are only averaged."""
    ranked = [path for path in masks if is_ranked(path.rpartition("/")[0], config.mask.dense_layers)]
    kept = sum(int(masks[path].sum()) for path in ranked)
    names = {id(weight): name for name, weight in named_weights(final).items()}
    weights = prunable_weights(final)
    prunable = {path: names[id(weights[path])] for path in ranked}
    pattern = parsed_pattern(config.mask.mask_pattern)
    select = selected_by(pattern.selection(final, config.mask.dense_layers), prunable)
    return lambda average, ticket, fraction: superposed(
        average, ticket, fraction, kept, list(prunable.values()), select
    )


def _epoch(config: RunConfig, ticket: int) -> int:
    return config.superpose.ordinary_epochs(config.training.epochs) + ticket * config.superpose.cycle_epochs


def _arrays(model: keras.Model) -> dict[str, np.ndarray]:
    return {name: weight.numpy() for name, weight in named_weights(model).items()}


def _put(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    model.set_weights([arrays[name] for name in named_weights(model)])


def _accuracies(model: keras.Model, data: ImageData) -> dict[str, float]:
    parts = {"val_accuracy": data.validation, "test_accuracy": data.test}
    return {name: evaluate(model, data, part).accuracy for name, part in parts.items()}


def _training_images(config: RunConfig, data: ImageData, rows: Sequence[Mapping[str, float]]) -> tf.data.Dataset:
    """One pass over the training images, augmented and batched as in the last epoch, the last of `rows`."""
    seed = derive_seed(config.training.seed, "recalibration")
    size, images = config.training.batch_size, config.data
    crops = np.float32([rows[-1]["crop_probability"]]) if images.adaptive_crops else None
    batches = training_batches(
        data, size, seed, 1, augment=images.augment, crop_padding=images.crop_padding, crop_probabilities=crops
    )
    return batches.map(lambda images, labels: images)
