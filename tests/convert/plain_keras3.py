"""A program of its own that knows Keras 3 alone: makes models, or runs models, in `.keras` files.

Usage: python plain_keras3.py make FOLDER NAME...    writes NAME.keras of keras.applications and NAME.npy, what it gives
       python plain_keras3.py run FOLDER             writes FILE.npy for each FILE.keras
What models are given is `images` below.
"""

import sys
from pathlib import Path

import keras
import numpy as np

SIZES = {"InceptionV3": 75, "Xception": 71}
SMALLER = {"MobileNet": {"alpha": 0.25}, "MobileNetV2": {"alpha": 0.35}}


def images(shape: tuple) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, (2, *shape[1:])).astype(np.float32)


def run(model: keras.Model, path: Path) -> None:
    np.save(path.with_suffix(".npy"), keras.ops.convert_to_numpy(model(images(model.input_shape), training=False)))


def make(name: str, folder: Path) -> None:
    size = SIZES.get(name, 32)
    options = {"include_top": False, "pooling": "avg", **SMALLER.get(name, {})}
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), **options)
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # at the start they do nothing
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    model.save(folder / f"{name}.keras")
    run(model, folder / f"{name}.keras")


if __name__ == "__main__":
    command, folder, *names = sys.argv[1:]
    for name in names:
        make(name, Path(folder))
    if command == "run":
        for path in sorted(Path(folder).glob("*.keras")):
            run(keras.models.load_model(path), path)
    foreign = {"tost_tf", "tf_keras", "tensorflow_model_optimization"} & set(sys.modules)
    sys.exit(f"loaded {foreign}" if foreign else 0)
