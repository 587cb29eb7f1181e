"""A program of its own: loads an exported file with TensorFlow, TensorFlow Lite or Keras 3 alone, and runs it.

Usage: python -I load_elsewhere.py FORMAT FILE INPUT.npz OUTPUT.npz
FORMAT is saved_model, tflite or keras3. INPUT.npz holds `images`, as the file takes them; OUTPUT.npz gets `logits`, and
by variable (or constant, in a `.tflite`) `names`, `sizes`, `axes` and `zeros`. Of a SavedModel that is given bytes, it
gets `logits_of_bytes` too: of the first images, by the signature for those. The variable TOST_SEARCH_PATH may name more
folders where packages are looked for, after Python's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

MORE = os.environ.get("TOST_SEARCH_PATH", "").split(os.pathsep)
sys.path += [path for path in MORE if path and path not in sys.path]

import numpy as np  # noqa: E402 (it may be in one of those folders)

BATCH = 250


class Found(NamedTuple):
    """What a file gives and holds."""

    logits: np.ndarray
    weights: list[tuple[str, np.ndarray]]
    logits_of_bytes: np.ndarray | None = None


def saved_model(path: str, images: np.ndarray) -> Found:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]
    parts = [serve(image=tf.constant(part, tf.float32)) for part in batches(images)]
    weights = [(variable.name, variable.numpy()) for variable in loaded.network_variables]
    of_bytes = None
    if images.dtype == np.uint8:
        of_bytes = loaded.signatures["serving_uint8"](image=tf.constant(images[:BATCH]))["logits"].numpy()
    return Found(join([part["logits"] for part in parts]), weights, of_bytes)


def keras3(path: str, images: np.ndarray) -> Found:
    import keras

    model = keras.models.load_model(path)
    parts = [keras.ops.convert_to_numpy(model(part, training=False)) for part in batches(images)]
    return Found(join(parts), [(weight.path, keras.ops.convert_to_numpy(weight)) for weight in model.weights])


def tflite(path: str, images: np.ndarray) -> Found:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow import lite

        Interpreter = lite.Interpreter
    interpreter = Interpreter(path)
    run = interpreter.get_signature_runner("serving_default")
    logits = join([run(image=part.astype(np.float32))["logits"] for part in batches(images)])
    return Found(logits, constants(path))


def constants(path: str) -> list[tuple[str, np.ndarray]]:
    """The weights in a `.tflite` file, zeros in the place of what is not stored of sparse ones (in no order there)."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(Path(path).read_bytes(), 0)
    types = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.INT8: np.int8,
    }
    found = []
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if data is None or len(data) == 0 or tensor.type not in types:
            continue
        stored = np.frombuffer(np.asarray(data, np.uint8).tobytes(), types[tensor.type])
        size = int(np.prod(tensor.shape))
        whole = np.concatenate([stored, np.zeros(max(0, size - stored.size), stored.dtype)])
        name = tensor.name.decode() if isinstance(tensor.name, bytes) else str(tensor.name)
        found.append((name, whole.reshape(tensor.shape) if whole.size == size else whole))
    return found


def batches(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]


def join(parts: list) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts])


def main(kind: str, path: str, input_file: str, output_file: str) -> None:
    images = np.load(input_file, allow_pickle=False)["images"]
    found = {"saved_model": saved_model, "keras3": keras3, "tflite": tflite}[kind](path, images)
    foreign = sorted({"tost_tf", "tf_keras", "tensorflow_model_optimization"} & set(sys.modules))
    if foreign:
        sys.exit(f"the export was meant to load without {', '.join(foreign)}")
    values = [value for _, value in found.weights]
    more = {} if found.logits_of_bytes is None else {"logits_of_bytes": found.logits_of_bytes}
    np.savez(
        output_file,
        logits=found.logits,
        names=np.array([name for name, _ in found.weights], str),
        sizes=np.array([value.size for value in values], np.int64),
        axes=np.array([value.ndim for value in values], np.int64),
        zeros=np.array([value.size - np.count_nonzero(value) for value in values], np.int64),
        **more,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
