"""A program of its own that knows Keras 3 alone: makes models, or runs models, in `.keras` files.

Usage: python plain_keras3.py make FOLDER NAME...    writes NAME.keras, `little` or of keras.applications, and NAME.npy,
                                                     what it gives
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


def little() -> keras.Model:
    """The layers of MobileNet, and its stem and one of its blocks; and the residual of MobileNetV2."""
    layers = keras.layers
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv1")(image)
    shortcut = x = layers.ReLU(6.0, name="conv1_relu")(layers.BatchNormalization(name="conv1_bn")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False, name="conv_dw_1")(x)
    x = layers.ReLU(6.0, name="conv_dw_1_relu")(layers.BatchNormalization(name="conv_dw_1_bn")(x))
    x = layers.Conv2D(8, 1, padding="same", use_bias=False, name="conv_pw_1")(x)
    x = layers.Add(name="add")([shortcut, layers.BatchNormalization(name="conv_pw_1_bn")(x)])
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="conv_pad_2")(x)
    x = layers.DepthwiseConv2D(3, strides=2, use_bias=False, name="conv_dw_2")(x)
    x = layers.ReLU(6.0, name="conv_dw_2_relu")(layers.BatchNormalization(name="conv_dw_2_bn")(x))
    return keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(x), name="little")


def make(name: str, folder: Path) -> None:
    size = SIZES.get(name, 32)
    options = {"include_top": False, "pooling": "avg", **SMALLER.get(name, {})}
    if name == "little":
        model = little()
    else:
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
