"""The superposition of a run's tickets, and how good each is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import training_batches
from tost_tf.dynamic.tickets import ticket_path
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.evaluate import evaluate
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.batch_norm import recalibrate
from tost_tf.graph.kernels import current_masks, is_ranked, prunable_weights
from tost_tf.graph.weights import load_weights, named_weights, save_weights
from tost_tf.masks.masks import Masks
from tost_tf.masks.sparsify import masks_of_zeros, strip
from tost_tf.report.tickets import draw_tickets
from tost_tf.seeds import derive_seed
from tost_tf.training.superpose import Weights, newest_share, superposed

# The average before, a ticket, and its share -> the average after, pruned.
Joiner = Callable[[Weights, Weights, float], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Superposition:
    """The network that is the result, its masks, and the accuracies of the tickets and of each superposition."""

    model: keras.Model
    masks: Masks
    report: dict[str, Any]


def superpose(config: RunConfig, data: ImageData, directory: RunDirectory, model: GhostModel) -> Superposition:
    """Superposes the tickets in the run's folder, one after the other; nothing is chosen by any accuracy.

    The last superposition is the result, and its weights are saved. With no cycle it is the end of ordinary training.

    Args:
      config, data, directory: of the run.
      model: as it is after training; its masks tell how many weights are kept.

    Raises:
      TostError: a ticket is not there or cannot be read.
    """
    final, options = strip(model), config.superpose
    join = _joiner(config, final, current_masks(model.plain))
    tickets, superpositions = [], []
    for number in range(options.cycles(config.training.epochs) + 1):
        path = ticket_path(directory.tickets, number)
        if not path.exists():
            raise TostError(f"the ticket {path} is gone, so that there is nothing to superpose: train the run again")
        average = _arrays(final)
        load_weights(final, path)
        tickets.append({"epoch": _epoch(config, number), **_accuracies(final, data)})
        if number:
            _put(final, join(average, _arrays(final), newest_share(options.superpose, number, options.cima_factor)))
            recalibrate(final, _training_images(config, data))
        superpositions.append({"tickets": number + 1, "epoch": tickets[-1]["epoch"], **_accuracies(final, data)})
        print(
            f"ticket {number + 1}: {100 * tickets[-1]['test_accuracy']:.2f}% on test, "
            f"superposed with those before: {100 * superpositions[-1]['test_accuracy']:.2f}%",
            flush=True,
        )
    save_weights(final, directory.superposed_weights)
    title = f"{config.model.model}, {options.superpose}"
    draw_tickets(tickets, superpositions, directory.figures / "tickets.png", title)
    report = {"tickets": tickets, "superpositions": superpositions}
    return Superposition(final, masks_of_zeros(final), report)


def _joiner(config: RunConfig, final: keras.Model, masks: Mapping[str, np.ndarray]) -> Joiner:
    """Joins a ticket to the average before it, in the density of `masks`; layers left dense are averaged only."""
    ranked = [path for path in masks if is_ranked(path.rpartition("/")[0], config.mask.dense_layers)]
    kept = sum(int(masks[path].sum()) for path in ranked)
    names = {id(weight): name for name, weight in named_weights(final).items()}
    weights = prunable_weights(final)
    prunable = [names[id(weights[path])] for path in ranked]
    return lambda average, ticket, share: superposed(average, ticket, share, kept, prunable)


def _epoch(config: RunConfig, ticket: int) -> int:
    return config.superpose.ordinary_epochs(config.training.epochs) + ticket * config.superpose.cycle_epochs


def _arrays(model: keras.Model) -> dict[str, np.ndarray]:
    return {name: weight.numpy() for name, weight in named_weights(model).items()}


def _put(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    model.set_weights([arrays[name] for name in named_weights(model)])


def _accuracies(model: keras.Model, data: ImageData) -> dict[str, float]:
    parts = {"val_accuracy": data.validation, "test_accuracy": data.test}
    return {name: evaluate(model, data, part).accuracy for name, part in parts.items()}


def _training_images(config: RunConfig, data: ImageData):
    """One pass over the training images, augmented and batched as in training."""
    seed = derive_seed(config.training.seed, "recalibration")
    batches = training_batches(data, config.training.batch_size, seed, 1, augment=config.data.augment)
    return batches.map(lambda images, labels: images)
