"""RigL and GraNet while a network trains, against NumPy: masks, weights and momenta over two updates."""

import math

import numpy as np
import pytest

import tost_tf as tost
from tests.parity import masked_network as reference
from tests.parity.masked_keras_network import arrays_of, assert_near, double_precision, keras_network
from tost_tf.compat import tf
from tost_tf.dynamic.callback import DynamicSparsity
from tost_tf.dynamic.options import DynamicConfig
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.masks.masks import Masks
from tost_tf.masks.sparsify import masks_of, with_dense_gradients
from tost_tf.training.losses import cross_entropy
from tost_tf.training.optimizer import CoupledSGD

SEED, STEPS, EVERY, END, LAST = 6, 7, 2, 6, 4  # updates after steps 2 and 4
FRACTION, INITIAL, FINAL = 0.7, 0.3, 0.6


class ReferenceUpdates:
    """Updates of a `MaskedTraining`, and what there was to see in them."""

    def __init__(self, training: reference.MaskedTraining):
        self.training, self.regrown, self.rounded_otherwise, self.pruned_and_grown = training, 0, 0, 0

    def prune(self, sparsity: float) -> None:
        """Keeps the largest weights of all layers together; the others are gone, with their momenta."""
        masks, weights = self.training.masks, self.training.weights
        everything = np.concatenate([np.where(masks[n] == 1, np.abs(weights[n]), -1).ravel() for n in masks])
        kept = round((1 - sparsity) * everything.size)
        threshold = np.sort(everything)[-kept]
        for name in masks:
            masks[name] = ((np.abs(weights[name]) >= threshold) & (masks[name] == 1)).astype(float)
            weights[name] = weights[name] * masks[name]
            self.training.momenta[name] = self.training.momenta[name] * masks[name]

    def drop_and_grow(self, fraction: float, before: reference.Arrays) -> None:
        """In each layer the smallest are dropped, and the largest dense gradients grow among what is not kept."""
        for name, mask in self.training.masks.items():
            weight, gradient = self.training.weights[name], np.abs(self.training.gradients[name])
            kept = int(mask.sum())
            dropped = math.floor(fraction * kept)
            self.rounded_otherwise += dropped != round(fraction * kept)
            by_size = sorted(zip(*np.nonzero(mask), strict=True), key=lambda index: abs(weight[index]))
            new = mask.copy()
            for index in by_size[:dropped]:
                new[index] = 0
            empty = sorted(zip(*np.nonzero(new == 0), strict=True), key=lambda index: -gradient[index])
            for index in empty[:dropped]:
                new[index] = 1
                if mask[index] == 0:  # it is new: it starts at zero, without momentum
                    self.training.weights[name][index] = self.training.momenta[name][index] = 0
                    self.pruned_and_grown += before[name][index] == 1
                else:
                    self.regrown += 1
            self.training.masks[name] = new
            self.training.weights[name] = self.training.weights[name] * new


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    return [reference.examples(step, 6) for step in range(STEPS)]


def referenced(method: str, masks: reference.Arrays):
    training = reference.MaskedTraining(*reference.initial_weights(SEED), dict(masks), rate=0.05, decay=1e-3)
    updates = ReferenceUpdates(training)
    for step, (images, labels) in enumerate(batches(), 1):
        training.step(images, labels)
        if step % EVERY == 0 and step <= LAST:
            before = dict(training.masks)
            if method == "granet":
                updates.prune(FINAL + (INITIAL - FINAL) * (1 - step / LAST) ** 3)
            updates.drop_and_grow(FRACTION / 2 * (1 + math.cos(math.pi * step / END)), before)
    return training, updates


def trained(method: str, masks: reference.Arrays):
    with double_precision():
        model = tost.sparsify(keras_network(*reference.initial_weights(SEED)), Masks(masks))
        optimizer = CoupledSGD(0.05, 0.9, 1e-3)
        optimizer.keep_gradients(with_dense_gradients(model))
        model.compile(optimizer, cross_entropy())
        optimizer.build(model.trainable_variables)
        config = DynamicConfig(dynamic=method, update_every=EVERY, drop_fraction=FRACTION, initial_sparsity=INITIAL)
        callback = DynamicSparsity(
            MaskUpdater(model, optimizer),
            config,
            last_step=LAST,
            end_step=END,
            steps_per_epoch=STEPS,
            sparsity=FINAL,
            initial=masks_of(model),
            record=lambda row: None,
        )
        images, labels = (np.concatenate(parts) for parts in zip(*batches(), strict=True))
        data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(6)
        model.fit(data, epochs=1, steps_per_epoch=STEPS, callbacks=[callback], verbose=0)
    return model, optimizer, callback


@pytest.mark.parametrize("method", ["rigl", "granet"])
def test_masks_weights_and_momenta(method):
    masks = reference.initial_masks(SEED, 1 - INITIAL)
    training, updates = referenced(method, masks)
    model, optimizer, callback = trained(method, masks)
    assert masks_of(model) == Masks(training.masks)
    weights = arrays_of(tost.strip(model))
    assert_near({name: weights[name] for name in training.weights}, training.weights)
    for path, layer in callback.updater.layers.items():
        kept = training.masks[path]
        momentum = optimizer.momentum_of(layer.kernel).numpy()
        assert_near({path: momentum * kept}, {path: training.momenta[path] * kept})
        assert_near({path: optimizer.gradient_of(layer.kernel).numpy()}, {path: training.gradients[path]})
    # What is compared was really there to be seen.
    assert updates.regrown and updates.rounded_otherwise and (updates.pruned_and_grown or method == "rigl")
    if method == "rigl":
        assert all(training.masks[name].sum() == masks[name].sum() for name in masks)
    else:
        assert sum(mask.sum() for mask in training.masks.values()) == round((1 - FINAL) * Masks(masks).size)
