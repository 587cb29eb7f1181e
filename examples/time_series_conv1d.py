"""A time series: a sparse one-dimensional convolutional network that names the rhythm of a noisy signal (generated).

    python examples/time_series_conv1d.py

A minute on one core. Prints the test accuracy of the dense network, of the sparse one trained like it, and of the
sparse one trained with ghost neurons and ghost skips, as they come out, and writes the last as SavedModel.
"""

from __future__ import annotations

import argparse

import numpy as np
import tf_keras as keras

import tost_tf as tost

SPARSITY = 0.97
LENGTH, RHYTHMS = 128, 6


def signals(examples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Signals [examples, LENGTH, 1] with a pulse every 5, 6, ... steps, drowned in noise, and which it is."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, RHYTHMS, examples)
    phases = generator.integers(0, LENGTH, examples)
    steps = np.arange(LENGTH)[None] + phases[:, None]
    pulses = (steps % (labels + 5)[:, None] == 0).astype("float32")
    return (pulses + 0.8 * generator.normal(size=pulses.shape)).astype("float32")[..., None], labels


def network() -> keras.Model:
    layers = keras.layers
    inputs = x = keras.Input((LENGTH, 1))
    for number, (filters, strides) in enumerate([(32, 1), (32, 2), (64, 2), (64, 2)], 1):
        x = layers.Conv1D(filters, 7, strides, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(layers.BatchNormalization(name=f"norm{number}")(x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(RHYTHMS, name="logits")(x))


def train(model: keras.Model, inputs: np.ndarray, labels: np.ndarray, epochs: int, callbacks: list) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    drop = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 if epoch < epochs // 2 else 0.01)
    model.fit(inputs, labels, batch_size=64, epochs=epochs, callbacks=[drop, *callbacks], verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--examples", type=int, default=3000, help="for training; as many for the test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", default="exports/time_series_conv1d", help="folder of the SavedModel")
    options = parser.parse_args()

    inputs, labels = signals(options.examples, 2 * options.seed)
    test = signals(options.examples, 2 * options.seed + 1)
    keras.utils.set_random_seed(options.seed)
    start = network()
    masks = tost.masks.erk(start, sparsity=SPARSITY, dense_layers="logits")

    dense = keras.models.clone_model(start)
    dense.set_weights(start.get_weights())
    default = tost.sparsify(start, masks)
    ghosted = tost.GhostModel(tost.sparsify(start, masks), neurons="pswish", skips="projection")

    print(f"test accuracy; sparse: {masks.sparsity:.1%} of the weights are zero")
    ghosts = tost.GhostSchedule(end_epoch=options.epochs // 2)
    for name, model, callbacks in (("dense", dense, []), ("default", default, []), ("ToST", ghosted, [ghosts])):
        train(model, inputs, labels, options.epochs, callbacks)
        print(f"{name:8}{model.evaluate(*test, verbose=0)[1]:8.2%}")

    tost.export.saved_model(tost.strip(ghosted), options.export)
    print(f"the ToST network is in {options.export}")


if __name__ == "__main__":
    main()
