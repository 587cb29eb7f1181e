"""Native Keras 3 files."""

from __future__ import annotations

import os
from pathlib import Path

from tost_tf.compat import keras
from tost_tf.compat import keras3 as import_keras3
from tost_tf.convert.to_keras3 import to_keras3
from tost_tf.errors import TostError
from tost_tf.export.format import Format, Preprocessing
from tost_tf.export.kernels_in_file import by_name
from tost_tf.files import replaced_file
from tost_tf.graph.finite import require_finite_weights
from tost_tf.graph.stripped import require_stripped


def keras3(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes `model` as a `.keras` file that plain Keras 3 loads, with any backend: built-in layers only.

    Args:
      model: a functional or Sequential tf_keras model, usually from `strip`; inputs and outputs stay the same.
      path: ends with `.keras`; an existing file is replaced only after the new one is complete.

    Raises:
      TostError: the path has another suffix, the model has masks or ghosts in it, a weight is not finite, or a layer
        has no counterpart in Keras 3.

    Examples:
      >>> tost.export.keras3(tost.strip(tost.sparsify(model, sparsity=0.9)), folder / "model.keras")
    """
    if Path(path).suffix != ".keras":
        raise TostError(f"the path {str(path)!r} must end with .keras: Keras 3 recognises the format by it")
    require_stripped(model)
    converted = to_keras3(model)
    require_finite_weights(model)
    with replaced_file(path) as temporary:
        converted.save(temporary)


def _write(model: keras.Model, path: Path, preprocessing: Preprocessing) -> bool:
    keras3(model, path)
    return False


def load_keras3(path):
    import keras

    model = keras.models.load_model(path)
    numpy = keras.ops.convert_to_numpy
    functions = {"logits": lambda images: numpy(model(images, training=False))}
    return functions, [(weight.path, numpy(weight)) for weight in model.weights]


def opened_keras3(path, images, threads):
    import keras

    model = keras.models.load_model(path)  # the environment has set the threads
    return lambda: model.predict_on_batch(images)


FORMAT = Format(
    "model.keras",
    "Keras 3 file",
    False,
    _write,
    load_keras3,
    places_of_kernels=by_name,
    needs_keras=True,
    require=import_keras3,
    opened=opened_keras3,
)
