"""SavedModels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import require_graph_model
from tost_tf.compat.layers import lookup_tables, variables_of
from tost_tf.errors import TostError
from tost_tf.export.format import Format, Preprocessing
from tost_tf.export.inputs import ExportedInput
from tost_tf.export.kernels_in_file import by_order
from tost_tf.files import replaced_folder
from tost_tf.graph.finite import require_finite_weights
from tost_tf.graph.logits import to_logits
from tost_tf.graph.stripped import require_stripped
from tost_tf.ranges import require_number


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
) -> None:
    """Writes `model` as a SavedModel that any process with TensorFlow can load; it holds plain operations only.

    Its signature `serving_default` takes `image`, float32 [batch, height, width, channels] of pixels 0 to 255, and
    returns `logits` and `probabilities`, float32 [batch, classes]; `serving_uint8` takes bytes. The probability of a
    network with one logit is its sigmoid. If the network takes other data than images, there is no `serving_uint8`, and
    the input of `serving_default` has the name of the model's input, and type float32, or without mean and deviation
    the type of the model's input. A batch can have any size. The variables are also available as the list
    `network_variables`.

    Args:
      model: a classifier with one input and one output, usually from `strip`. If it ends in a softmax, its output is
        `probabilities`, and `logits` are their logarithms.
      path: the folder; an existing SavedModel is replaced only after the new one is complete.
      mean, deviation: numbers by channel, or one for all, in units of pixel / 255, deviations above 0; the network
        takes (pixel / 255 - mean) / deviation. Without them it takes the pixels unchanged.

    Raises:
      TostError: the model has several inputs or outputs, has masks or ghosts in it, or a weight is not finite; mean and
        deviation do not fit, or only one of them is given; there is something else than a SavedModel at `path`.

    Examples:
      >>> final = tost.strip(tost.sparsify(model, sparsity=0.9))
      >>> tost.export.saved_model(final, folder / "model", mean=[0.3], deviation=[0.2])
      >>> exported = tf.saved_model.load(folder / "model").signatures["serving_default"]
      >>> logits = exported(image=tf.constant(255 * images))["logits"]  # pixels, not normalised
    """
    write_saved_model(model, path, mean, deviation, are_pixels=True)


def write_saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None,
    deviation: Sequence[float] | None,
    are_pixels: bool,
) -> None:
    """As `saved_model`; unless the images `are_pixels`, their mean and deviation may be of any size."""
    require_stripped(model)
    if not isinstance(model, keras.Model) or not model.inputs:
        require_graph_model(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise TostError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: one of each is needed"
        )
    require_finite_weights(model)
    _require_statistics(model, mean, deviation)
    if are_pixels and mean is not None and deviation is not None and model.inputs[0].shape.rank == 4:
        _require_units_of_pixels(mean, deviation)
    _require_replaceable(path)

    # Only variables and tables are passed, not the model, so that the file describes no Keras object.
    module = tf.Module()
    module.network_variables = variables_of(model)
    module.lookup_tables = lookup_tables(model)
    signatures = _signatures(model, mean, deviation)
    with replaced_folder(path) as temporary:
        # Servers and profilers find the functions under these names too.
        options = tf.saved_model.SaveOptions(function_aliases=signatures)
        tf.saved_model.save(module, str(temporary), signatures=signatures, options=options)


def _require_statistics(model: keras.Model, mean: Sequence[float] | None, deviation: Sequence[float] | None) -> None:
    if mean is None and deviation is None:
        return
    if mean is None or deviation is None:
        raise TostError("mean and deviation belong together: give both or neither")
    for number in np.ravel(mean).tolist():
        require_number("mean", number)
    for number in np.ravel(deviation).tolist():
        require_number("deviation", number, above=0)
    channels = model.inputs[0].shape[-1]
    for name, count in (("mean", np.size(mean)), ("deviation", np.size(deviation))):
        if channels is not None and count not in (1, channels):
            raise TostError(f"{name} has {count} numbers, it must have one for each of the {channels} channels, or one")


def _require_units_of_pixels(mean: Sequence[float], deviation: Sequence[float]) -> None:
    """Values that are no bytes, such as those of scans, may have a larger mean."""
    if min(max(np.ravel(mean)), max(np.ravel(deviation))) > 1:
        raise TostError(f"mean is {max(np.ravel(mean)):g}, and is to be in units of pixel / 255: divide both by 255")


def _require_replaceable(path: str | os.PathLike) -> None:
    folder = Path(path)
    if folder == Path() or (folder.exists() and not folder.is_dir()):
        raise TostError(f"the path {str(path)!r} is a file, or no name of a folder: a SavedModel is a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "saved_model.pb").exists():
        raise TostError(f"the folder {str(path)!r} holds something else than a SavedModel: choose another path")


def _signatures(
    model: keras.Model, mean: Sequence[float] | None, deviation: Sequence[float] | None
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Name -> function, for images as numbers and as bytes."""
    taken, as_logits = ExportedInput.of(model, unchanged=mean is None), to_logits(model)

    @tf.function(input_signature=[tf.TensorSpec(taken.shape, taken.dtype, name=taken.name)])
    def serve(values):
        if mean is not None:
            values = (values / 255.0 - tf.constant(mean, tf.float32)) / tf.constant(deviation, tf.float32)
        logits = as_logits(tf.cast(model(values, training=False), tf.float32))
        probabilities = tf.sigmoid(logits) if logits.shape[-1] == 1 else tf.nn.softmax(logits)
        return {"logits": logits, "probabilities": probabilities}

    @tf.function(input_signature=[tf.TensorSpec(taken.shape, tf.uint8, name=taken.name)])
    def serve_bytes(values):
        return serve(tf.cast(values, tf.float32))

    return {"serving_default": serve} | ({"serving_uint8": serve_bytes} if taken.are_images else {})


def _write(model: keras.Model, path: Path, preprocessing: Preprocessing) -> bool:
    write_saved_model(model, path, preprocessing.mean, preprocessing.deviation, preprocessing.are_pixels)
    return False


def load_saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    functions = {}
    for signature, name in (("serving_default", "logits"), ("serving_uint8", "logits_of_bytes")):
        if signature in loaded.signatures:
            serve = loaded.signatures[signature]
            ((taken, spec),) = serve.structured_input_signature[1].items()
            functions[name] = lambda values, serve=serve, taken=taken, dtype=spec.dtype: serve(
                **{taken: tf.cast(values, dtype)}
            )["logits"]
    return functions, [(variable.name, variable.numpy()) for variable in loaded.network_variables]


def opened_saved_model(path, images, threads):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)  # the environment has set the threads
    serve = loaded.signatures["serving_default"]
    ((taken, spec),) = serve.structured_input_signature[1].items()
    batch = tf.cast(images, spec.dtype)
    return lambda: (loaded, serve(**{taken: batch})["logits"].numpy())  # what is loaded must not be forgotten


FORMAT = Format(
    "saved_model",
    "SavedModel",
    True,
    _write,
    load_saved_model,
    places_of_kernels=by_order,
    opened=opened_saved_model,
)
