"""A table: a sparse multilayer perceptron that tells malignant from benign tumours (scikit-learn's breast cancer data).

    python examples/tabular_mlp.py

A quarter of a minute on one core. Prints the test accuracy of the dense network, of the sparse one trained like it, and
of the sparse one trained with ghost neurons and a rescaled initialisation, as they come out, and writes the last as
SavedModel.
"""

from __future__ import annotations

import argparse

import numpy as np
import sklearn.datasets
import sklearn.model_selection
import tf_keras as keras

import tost_tf as tost

SPARSITY = 0.95


def data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Standardised rows and 0/1 labels: of training, then of test."""
    rows, labels = sklearn.datasets.load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = sklearn.model_selection.train_test_split(
        rows.astype("float32"), labels, test_size=0.3, stratify=labels, random_state=seed
    )
    mean, deviation = train_x.mean(0), train_x.std(0)
    return (train_x - mean) / deviation, train_y, (test_x - mean) / deviation, test_y


def network() -> keras.Model:
    layers = keras.layers
    inputs = x = keras.Input((30,))
    for number in (1, 2, 3):
        x = layers.Dense(128, use_bias=False, name=f"dense{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(layers.BatchNormalization(name=f"norm{number}")(x))
    return keras.Model(inputs, layers.Dense(2, name="logits")(x))


def train(model: keras.Model, rows: np.ndarray, labels: np.ndarray, epochs: int, callbacks: list) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss, metrics=["accuracy"])
    drop = keras.callbacks.LearningRateScheduler(lambda epoch: 0.05 if epoch < epochs // 2 else 0.005)
    model.fit(rows, labels, batch_size=32, epochs=epochs, callbacks=[drop, *callbacks], verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", default="exports/tabular_mlp", help="folder of the SavedModel")
    options = parser.parse_args()

    train_x, train_y, test_x, test_y = data(options.seed)
    keras.utils.set_random_seed(options.seed)
    start = network()
    masks = tost.masks.snip(start, (train_x, train_y), sparsity=SPARSITY, dense_layers="logits")

    dense = keras.models.clone_model(start)
    dense.set_weights(start.get_weights())
    default, sparse = tost.sparsify(start, masks), tost.sparsify(start, masks)
    tost.rescale_init(sparse, (train_x, train_y), steps=60)
    ghosted = tost.GhostModel(sparse, neurons="pswish", skips="none", dead_channels="relu")

    print(f"test accuracy; sparse: {masks.sparsity:.1%} of the weights are zero")
    ghosts = tost.GhostSchedule(end_epoch=options.epochs // 2)
    for name, model, callbacks in (("dense", dense, []), ("default", default, []), ("ToST", ghosted, [ghosts])):
        train(model, train_x, train_y, options.epochs, callbacks)
        print(f"{name:8}{model.evaluate(test_x, test_y, verbose=0)[1]:8.2%}")

    tost.export.saved_model(tost.strip(ghosted), options.export)
    print(f"the ToST network is in {options.export}")


if __name__ == "__main__":
    main()
