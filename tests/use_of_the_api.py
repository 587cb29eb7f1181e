"""What users write, as a type checker sees it; `make lint` checks it, nothing runs it.

A line with "type: ignore" is wrong on purpose: the checker complains if it finds no mistake there.
"""

from __future__ import annotations

import tf_keras
from numpy import ndarray

import tost_tf as tost


def sparse_training(model: tf_keras.Model, images: ndarray, labels: ndarray) -> tf_keras.Model:
    masks: tost.Masks = tost.masks.snip(model, (images, labels), sparsity=0.95, loss="mse")
    share: float = masks.sparsity
    by_layer: dict[str, float] = dict(masks.layer_sparsity)
    print(share, by_layer, masks["conv/kernel"].shape)
    sparse = tost.sparsify(model, masks)
    factors: dict[str, float] = tost.rescale_init(sparse, (images, labels), steps=10)
    print(factors)
    ghosted = tost.GhostModel(sparse, neurons="pswish", skips="projection", seed=3)
    ghosted.compile(tost.OrthogonalSGD(0.025, weight_decay=1e-4), "mse")
    schedule = tost.GhostSchedule(end_epoch=9, schedule=lambda progress: 1 - progress)
    ghosted.fit(
        images,
        labels,
        callbacks=[schedule, tost.WeightAverage(0.99), tost.CompactTraining(), tost.RigL(update_every=10)],
    )
    active: bool = ghosted.ghosts_active
    print(active)
    return tost.strip(ghosted, ghosts="remove")


def other_things(model: tf_keras.Model, images: ndarray, labels: ndarray) -> None:
    small, report = tost.compact(tost.from_keras3(model))
    channels: int = report.after["conv"].channels
    stored_sparse: bool = tost.export.tflite(small, "model.tflite", precision="int8", images=images)
    rows: list[dict] = tost.analysis.weight_landscape(model, (images, labels), points=3)
    built: tf_keras.Model = tost.models.build("resnet20", (32, 32, 3), 10)
    result = tost.launch(tost.RunConfig.make(dataset="digits", epochs=3))
    print(channels, stored_sparse, rows, built, result["test_accuracy"])


def mistakes(model: tf_keras.Model) -> None:
    tost.masks.erk(model, sparsity="95%")  # type: ignore[arg-type]
    tost.GhostSchedule(end_epoch=1.5)  # type: ignore[arg-type]
    tost.GhostModel(model, neurons=3)  # type: ignore[arg-type]
    tost.sparsify(model, [1, 0])  # type: ignore[arg-type]
    tost.Masks.load("mask.npz").sparsness  # type: ignore[attr-defined]  # noqa: B018
    tost.Sparsify(model)  # type: ignore[attr-defined]
    count: int = tost.masks.erk(model, sparsity=0.9)  # type: ignore[assignment]
    print(count)
