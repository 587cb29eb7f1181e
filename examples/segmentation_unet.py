"""Segmentation: a sparse U-Net that marks the circles, not the squares, in a noisy picture (generated).

    python examples/segmentation_unet.py

A minute and a half on one core. The U-Net has several skip paths, transposed convolutions and a loss by pixel. Prints
how well the marked pixels overlap with the true ones (intersection over union) for the dense network, the sparse one
trained like it, and the sparse one trained with ghost neurons, as they come out, and writes the last as SavedModel.
"""

from __future__ import annotations

import argparse

import numpy as np
import tf_keras as keras

import tost_tf as tost

SPARSITY = 0.9
SIZE = 32


def pictures(examples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures with two circles and two squares, [examples, SIZE, SIZE, 1], and 1 for each pixel in a circle."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    shapes, circles = (np.zeros((examples, SIZE, SIZE), bool) for _ in range(2))
    for picture, circle in zip(shapes, circles, strict=True):
        for number in range(4):
            (row, column), radius = generator.integers(4, SIZE - 4, 2), generator.integers(4, 7)
            down, right = abs(rows - row), abs(columns - column)
            is_circle = number < 2
            inside = down**2 + right**2 <= radius**2 if is_circle else np.maximum(down, right) <= radius * 0.85
            circle[inside] = is_circle
            picture |= inside
    noisy = shapes + 0.3 * generator.normal(size=shapes.shape)
    return noisy.astype("float32")[..., None], circles.astype("float32")[..., None]


def network() -> keras.Model:
    layers = keras.layers

    def block(x, filters: int, name: str):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x))

    inputs = keras.Input((SIZE, SIZE, 1))
    full = block(inputs, 16, "down1")
    half = block(layers.MaxPooling2D()(full), 32, "down2")
    x = block(layers.MaxPooling2D()(half), 64, "bottom")
    x = layers.Conv2DTranspose(32, 2, 2, name="up2_transposed")(x)
    x = block(layers.Concatenate()([x, half]), 32, "up2")
    x = layers.Conv2DTranspose(16, 2, 2, name="up1_transposed")(x)
    x = block(layers.Concatenate()([x, full]), 16, "up1")
    return keras.Model(inputs, layers.Conv2D(1, 1, name="logits")(x))


def train(model: keras.Model, inputs: np.ndarray, truth: np.ndarray, epochs: int, callbacks: list) -> None:
    model.compile(keras.optimizers.Adam(), keras.losses.BinaryCrossentropy(from_logits=True))
    drop = keras.callbacks.LearningRateScheduler(lambda epoch: 5e-3 if epoch < epochs // 2 else 1e-3)
    model.fit(inputs, truth, batch_size=16, epochs=epochs, callbacks=[drop, *callbacks], verbose=0)


def overlap(model: keras.Model, inputs: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of the pixels marked and those that should be."""
    marked, wanted = model.predict(inputs, verbose=0) > 0, truth > 0
    return float((marked & wanted).sum() / (marked | wanted).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--examples", type=int, default=800, help="for training; as many for the test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", default="exports/segmentation_unet", help="folder of the SavedModel")
    options = parser.parse_args()

    inputs, truth = pictures(options.examples, 2 * options.seed)
    test = pictures(options.examples, 2 * options.seed + 1)
    keras.utils.set_random_seed(options.seed)
    start = network()
    masks = tost.masks.erk(start, sparsity=SPARSITY, dense_layers="logits")

    dense = keras.models.clone_model(start)
    dense.set_weights(start.get_weights())
    default = tost.sparsify(start, masks)
    ghosted = tost.GhostModel(tost.sparsify(start, masks), neurons="pswish", skips="none")

    print(f"intersection over union on test pictures; sparse: {masks.sparsity:.1%} of the weights are zero")
    ghosts = tost.GhostSchedule(end_epoch=options.epochs // 2)
    for name, model, callbacks in (("dense", dense, []), ("default", default, []), ("ToST", ghosted, [ghosts])):
        train(model, inputs, truth, options.epochs, callbacks)
        print(f"{name:8}{overlap(model, *test):8.2%}")

    tost.export.saved_model(tost.strip(ghosted), options.export)
    print(f"the ToST network is in {options.export}")


if __name__ == "__main__":
    main()
