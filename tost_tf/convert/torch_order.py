"""PyTorch's order of the input features of a layer.

Images are [channels, height, width] in PyTorch and [height, width, channels] in TensorFlow. So after a `Flatten`, a
layer reads the same numbers in another order, and its weights must be reordered too. The order is followed through the
graph; if it is unknown, the layer that causes this is named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import is_graph_model, is_operation
from tost_tf.graph.calls import calls, keys
from tost_tf.graph.copy import unwrapped_layer

# Layers that move no number, or only within its channel.
IN_PLACE = (
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax", "Dropout", "SpatialDropout1D"),
    *("SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "BatchNormalization"),
    *("LayerNormalization", "GroupNormalization", "UnitNormalization", "Rescaling", "Normalization", "Masking"),
    *("ActivityRegularization", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D"),
    *("Cropping3D", "UpSampling1D", "UpSampling2D", "UpSampling3D", "Resizing", "CenterCrop", "RandomCrop"),
    *("RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomContrast", "RandomBrightness"),
)
SEQUENCES = ("Embedding", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "MultiHeadAttention")
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
ELEMENTWISE = (
    *("nn.relu", "nn.relu6", "nn.silu", "nn.swish", "nn.gelu", "nn.elu", "nn.leaky_relu", "math.sigmoid", "math.tanh"),
)
MEANS = ("math.reduce_mean", "math.reduce_max")
ARITHMETIC = ("__operators__.add", "math.add", "math.subtract", "math.multiply", "math.truediv", "math.maximum")


@dataclasses.dataclass(frozen=True)
class Order:
    """PyTorch's order of the features of a tensor.

    Attributes:
      kind: "same"; "channels first" there; "moved", a flat tensor with the order `places`; "either": the channels are
        the same, but the order after flattening is unknown; "expanded", channels first with one more axis of size one;
        or "unknown".
      places: for "moved", the index in PyTorch of each feature here.
      reason: for "unknown", the reason, as the end of a sentence.
    """

    kind: str
    places: np.ndarray | None = None
    reason: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Order) and self.kind == other.kind and np.array_equal(self.places, other.places)

    @property
    def has_known_channels(self) -> bool:
        """Whether the order of the last axis is known, so that weights of a layer that reads it can be converted."""
        return self.kind not in ("unknown", "expanded")


SAME = Order("same")
CHANNELS_FIRST = Order("channels first")
EITHER = Order("either")
EXPANDED = Order("expanded")


def input_orders(model: keras.Model) -> dict[str, Order]:
    """Layer path -> PyTorch's order of the layer's input features, for all layers of `model` with weights.

    Args:
      model: a functional or Sequential model; layers in nested models have paths as in masks.
    """
    found: dict[str, Order] = {}
    _walk(model, [_of_input(tensor) for tensor in model.inputs], "", found)
    return found


def _walk(model: keras.Model, inputs: Sequence[Order], prefix: str, found: dict[str, Order]) -> list[Order]:
    orders = dict(zip(keys(model.inputs), inputs, strict=True))
    shapes = {key: tuple(tensor.shape)[1:] for key, tensor in zip(keys(model.inputs), model.inputs, strict=True)}
    for call in calls(model):
        layer = unwrapped_layer(call.layer)
        read = [orders.get(key, SAME) for key in call.inputs]
        into = [shapes.get(key, ()) for key in call.inputs]
        out = [shape[1:] for shape in call.output_shapes]
        path = prefix + layer.name
        if is_graph_model(layer):
            given = _walk(layer, read, f"{path}/", found)
        else:
            if layer.weights:
                first = read[0] if read else SAME
                name = type(layer).__name__
                if _kind(layer) not in (*IN_PLACE, "Convolution", "Dense") and name != "Embedding":
                    first = Order("unknown", None, f"PyTorch's layout of the weights of a {name} is unknown")
                elif path in found and found[path] != first:
                    first = Order("unknown", None, "it is called twice, on inputs in different orders")
                found[path] = first
            given = [_after(layer, read, into, shape) for shape in out]
        orders |= dict(zip(call.outputs, given, strict=True))
        shapes |= dict(zip(call.outputs, out, strict=True))
    return [orders[key] for key in keys(model.outputs)]


def _of_input(tensor: tf.Tensor) -> Order:
    """The order of a model's input: images are channels first in PyTorch, for sequences it depends on the model."""
    rank = len(tensor.shape) - 1
    if rank < 2:
        return SAME
    return CHANNELS_FIRST if rank > 2 else EITHER


def _after(layer: keras.layers.Layer, read: Sequence[Order], into: Sequence[tuple], out: tuple) -> Order:
    """The order of the output of a layer."""
    kind = _kind(layer)
    if kind in IN_PLACE:
        return read[0]
    if kind in MERGES:
        return _merged(layer, read)
    if kind == "Concatenate":
        return _concatenated(layer, read, into, out)
    if kind in ("Flatten", "Reshape"):
        return _reshaped(layer, read[0], into[0], out)
    if kind == "Convolution":
        return SAME if layer.data_format == "channels_first" else CHANNELS_FIRST
    if kind in ("Pooling", "GlobalPooling"):
        return _pooled(read[0], out)
    if kind in ("Sequence", "Dense"):
        return SAME if len(out) < 2 or kind == "Sequence" or read[0].kind == "same" else EITHER
    is_plain = all(order.kind == "same" for order in read) and max(map(len, into), default=0) < 2
    is_mean = kind == "Mean" and out == into[0][-1:] and out[0] not in into[0][:-1]
    if is_mean and read[0].has_known_channels:
        return SAME
    return SAME if is_plain and len(out) < 2 else _unknown(layer.name)


def _kind(layer: keras.layers.Layer) -> str:
    name = type(layer).__name__
    symbol = str(getattr(layer, "symbol", "")) if is_operation(layer) else ""
    if symbol:
        known = (("Activation", ELEMENTWISE), ("Add", ARITHMETIC), ("Mean", MEANS))
        return next((kind for kind, symbols in known if symbol in symbols), "other")
    if type(layer) is not getattr(keras.layers, name, None):
        return "other" if not isinstance(layer, _KNOWN) else _kind_of_base(layer)
    if name in (*IN_PLACE, *MERGES, "Concatenate", "Flatten", "Reshape", "Dense"):
        return name
    if "Global" in name:
        return "GlobalPooling"
    if "Pooling" in name:
        return "Pooling"
    if "Conv" in name:
        return "Convolution"
    return "Sequence" if name in SEQUENCES else "other"


_KNOWN = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)


def _kind_of_base(layer: keras.layers.Layer) -> str:
    return "Dense" if isinstance(layer, keras.layers.Dense) else "Convolution"


def _pooled(read: Order, out: tuple) -> Order:
    if not read.has_known_channels:
        return read
    return SAME if len(out) < 2 else read


def _merged(layer: keras.layers.Layer, read: Sequence[Order]) -> Order:
    first = next((order for order in read if order.kind != "either"), read[0])
    return first if all(order == first or order.kind == "either" for order in read) else _unknown(layer.name)


def _concatenated(layer: keras.layers.Layer, read: Sequence[Order], into: Sequence[tuple], out: tuple) -> Order:
    if all(order == read[0] for order in read) and read[0].kind != "moved":
        return read[0]
    if len(out) != 1 or any(order.kind not in ("same", "moved") for order in read):
        return _merged(layer, read)
    places, start = [], 0
    for order, (size,) in zip(read, into, strict=True):
        places.append(start + (np.arange(size) if order.places is None else order.places))
        start += size
    return Order("moved", np.concatenate(places))


def _reshaped(layer: keras.layers.Layer, read: Order, into: tuple, out: tuple) -> Order:
    if into == out or read.kind == "unknown":
        return read
    if len(out) == 1:
        return _flattened(layer, read, into)
    if None in into or None in out:
        return _unknown(layer.name)
    plain_in, plain_out = _without_ones(into), _without_ones(out)
    if len(into) == 1:
        # A vector as an image of one pixel.
        one_pixel = plain_in == plain_out and out[-1] == into[0]
        return CHANNELS_FIRST if one_pixel and read.kind == "same" else _unknown(layer.name)
    if out == (*into, 1) and read.kind == "channels first":
        return EXPANDED
    if into == (*out, 1) and read.kind == "expanded":
        return CHANNELS_FIRST
    if out[-1] == into[-1] and read.kind != "expanded":
        return EITHER  # positions are joined, channels unchanged
    return _unknown(layer.name)


def _flattened(layer: keras.layers.Layer, read: Order, into: tuple) -> Order:
    if len(into) < 2:
        return read
    if None in into:
        return _unknown(layer.name)
    moves = type(layer).__name__ == "Flatten" and layer.data_format == "channels_first"
    if len(_without_ones(into)) < 2:
        return SAME
    if read.kind == "same" and moves:  # Keras itself puts the channels last
        return Order("moved", _places((*into[1:], into[0])))
    if read.kind == "same":
        return SAME
    if read.kind == "channels first" and not moves:
        return Order("moved", _places(into))
    return _unknown(layer.name)


def _places(shape: tuple[int, ...]) -> np.ndarray:
    """The index with channels first of each number of a flattened tensor of `shape`, channels last."""
    first = np.arange(int(np.prod(shape))).reshape(shape[-1], *shape[:-1])
    return np.moveaxis(first, 0, -1).ravel()


def _without_ones(shape: tuple) -> tuple:
    return tuple(size for size in shape if size != 1)


def _unknown(name: str) -> Order:
    return Order("unknown", None, f"after {name} PyTorch's order of its inputs is unknown")


def reordered(kernel: np.ndarray, order: Order | None) -> np.ndarray:
    """A kernel [inputs, outputs], or numbers by feature, in the order of the input features here."""
    return kernel if order is None or order.places is None else kernel[order.places]
