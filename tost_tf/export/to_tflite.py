"""TensorFlow Lite files."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.export.format import Format, Preprocessing, Tolerance
from tost_tf.export.inputs import ExportedInput
from tost_tf.export.to_saved_model import write_saved_model
from tost_tf.files import replaced_file
from tost_tf.graph.batches import inputs_alone

PRECISIONS = ("float32", "float16", "int8")
COMPARED = 8
# Height and width of the noise that is given to a network which takes images of any size.


def tflite(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    precision: str = "float32",
    images: Any = None,
) -> bool:
    """Writes `model` as a `.tflite` file with the inputs and outputs of the SavedModel, in float32.

    Kernels are stored sparsely if that makes the file smaller and does not change its results. This saves space, not
    time: on most CPUs TensorFlow Lite runs them as dense ones.

    Args:
      model, mean, deviation: as for `saved_model`.
      path: ends with `.tflite`; an existing file is replaced only after the new one is complete.
      precision: of the weights: float32, float16, or int8 (also of the activations, calibrated on `images`).
      images: raw training images, [images, height, width, channels], or data with images and labels as `fit` takes it;
        needed for int8: activation ranges are measured on them.

    Returns:
      Whether kernels are stored sparsely.

    Raises:
      TostError: another suffix or precision is given, int8 without images, TensorFlow Lite lacks an operation, or as
        for `saved_model`.

    Examples:
      >>> final = tost.strip(tost.sparsify(model, sparsity=0.9))
      >>> stored_sparse = tost.export.tflite(final, folder / "model.tflite", precision="float16")
    """
    return _write_tflite(model, path, mean, deviation, precision, images, are_pixels=True)


def _write_tflite(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None,
    deviation: Sequence[float] | None,
    precision: str,
    images: Any,
    are_pixels: bool,
) -> bool:
    if Path(path).suffix != ".tflite":
        raise TostError(f"the path {str(path)!r} must end with .tflite")
    if precision not in PRECISIONS:
        raise TostError(f"precision is {precision!r}, it must be one of {', '.join(PRECISIONS)}")
    if precision == "int8" and images is None:
        raise TostError("int8 needs images to measure the ranges of activations on")
    images = None if images is None else inputs_alone(images)
    if images is not None and not len(images):
        raise TostError("images has no image: some are needed, to measure the ranges of activations on")
    with tempfile.TemporaryDirectory() as scratch:
        write_saved_model(model, Path(scratch) / "saved_model", mean, deviation, are_pixels)
        taken = ExportedInput.of(model, unchanged=mean is None)
        try:
            dense, sparse = (
                _converted(Path(scratch) / "saved_model", precision, taken, images, s) for s in (False, True)
            )
        except Exception as error:  # of no one kind: what the converter writes to its log is all there is
            raise _not_convertible(model, error) from None
    # TensorFlow Lite 2.21 reads some sparsely stored float16 kernels back as NaN.
    compared = taken.examples(COMPARED) if images is None else images
    stored_sparsely = len(sparse) < len(dense) and _agree(dense, sparse, taken, compared)
    with replaced_file(path) as temporary:
        temporary.write_bytes(sparse if stored_sparsely else dense)
    return stored_sparsely


def _agree(dense: bytes, sparse: bytes, taken: ExportedInput, values: np.ndarray) -> bool:
    """Whether both files compute the same for some values."""
    runners = [
        tf.lite.Interpreter(model_content=file).get_signature_runner("serving_default") for file in (dense, sparse)
    ]
    given = values[:COMPARED].astype(taken.dtype.as_numpy_dtype)
    one, other = (runner(**{taken.name: given})["logits"] for runner in runners)
    return bool(np.max(np.abs(one - other)) <= 1e-3 * np.max(np.abs(one)))


def _converted(path: Path, precision: str, taken: ExportedInput, images: np.ndarray | None, sparse: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=["serving_default"])
    optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []
    if precision != "float32":
        optimizations.append(tf.lite.Optimize.DEFAULT)
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        assert images is not None  # `tflite` has checked it
        dtype = taken.dtype.as_numpy_dtype
        converter.representative_dataset = lambda: ({taken.name: image[None].astype(dtype)} for image in images)
    converter.optimizations = optimizations
    return converter.convert()


def _not_convertible(model: keras.Model, error: Exception) -> TostError:
    recurrent = [layer for layer in model.submodules if isinstance(layer, keras.layers.RNN) and not layer.unroll]
    if recurrent:
        return TostError(
            f"the recurrent layer {recurrent[0].name!r} of {model.name} cannot be converted to TensorFlow Lite for "
            "batches of any size: make the network with unroll=True in it"
        )
    reason = " ".join(str(error).split())[:200]
    return TostError(f"{model.name} cannot be converted to TensorFlow Lite ({type(error).__name__}): {reason}")


def _write(model: keras.Model, path: Path, preprocessing: Preprocessing, precision: str) -> bool:
    given = (preprocessing.mean, preprocessing.deviation, precision, preprocessing.images, preprocessing.are_pixels)
    return _write_tflite(model, path, *given)


def load_tflite(path):
    from pathlib import Path

    import numpy as np
    from tensorflow.lite.python import schema_py_generated as schema

    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow import lite

        Interpreter = lite.Interpreter
    run = Interpreter(path).get_signature_runner("serving_default")
    types = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.INT8: np.int8,
    }
    model = schema.ModelT.InitFromPackedBuf(Path(path).read_bytes(), 0)
    weights = []
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if data is None or len(data) == 0 or tensor.type not in types:
            continue
        stored = np.frombuffer(np.asarray(data, np.uint8).tobytes(), types[tensor.type])
        # A sparsely stored kernel is completed with zeros for what is not stored (in no order).
        size = int(np.prod(tensor.shape))
        whole = np.concatenate([stored, np.zeros(max(0, size - stored.size), stored.dtype)])
        name = tensor.name.decode() if isinstance(tensor.name, bytes) else str(tensor.name)
        weights.append((name, whole.reshape(tensor.shape) if whole.size == size else whole))
    ((taken, details),) = run.get_input_details().items()
    return {"logits": lambda values: run(**{taken: values.astype(details["dtype"])})["logits"]}, weights


def opened_tflite(path, images, threads):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow import lite

        Interpreter = lite.Interpreter
    # Resized before anything is allocated: XNNPACK, which is used by default, takes tensors of fixed size only.
    interpreter = Interpreter(path, num_threads=threads)
    (details,) = interpreter.get_signature_runner("serving_default").get_input_details().values()
    interpreter.resize_tensor_input(details["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], images.astype(details["dtype"]))
    return interpreter.invoke


def _format(precision: str, tolerance: Tolerance) -> Format:
    # TensorFlow Lite renames and reorders constants: kernels are matched by size.
    write = functools.partial(_write, precision=precision)
    return Format(
        f"model_{precision}.tflite",
        "TensorFlow Lite file",
        True,
        write,
        load_tflite,
        tolerance=tolerance,
        opened=opened_tflite,
    )


# Quantisation makes more zeros, and a constant that is not a kernel may be taken for one.
FLOAT32 = _format("float32", Tolerance(more_zeros=True))
FLOAT16 = _format("float16", Tolerance(0.005, 1e-2, more_zeros=True))
INT8 = _format("int8", Tolerance(0.03, None, 0.5, more_zeros=True))
