"""In which order PyTorch has the features that a layer reads.

PyTorch keeps images as [channels, height, width], TensorFlow as [height, width, channels]: what a layer reads behind a
`Flatten` is the same numbers in another order, and its weights have to be reordered likewise. The order is followed
through the graph; where it cannot be known, it is said which layer is the reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tost_tf.compat import is_graph_model, is_operation, keras, tf
from tost_tf.graph.calls import calls, keys
from tost_tf.graph.copy import unwrapped_layer

# Layers that leave every number where it is, or move it within its channel.
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
    """The order in which PyTorch has the features of a tensor.

    Attributes:
      kind: "same"; "channels first", of a tensor whose channels come first there; "moved", of a flat one, as
        `places` says; "either", where the channels are the same and what a flattening gives is not known; "expanded",
        channels first with an axis of one more; or "unknown".
      places: of a flat tensor "moved": the place in PyTorch of each feature here.
      reason: of an unknown one: why, as the end of a sentence.
    """

    kind: str
    places: np.ndarray | None = None
    reason: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Order) and self.kind == other.kind and np.array_equal(self.places, other.places)

    @property
    def has_known_channels(self) -> bool:
        """Whether a layer that reads the last axis has its weights in the order of PyTorch's, or in a known one."""
        return self.kind not in ("unknown", "expanded")


SAME = Order("same")
CHANNELS_FIRST = Order("channels first")
EITHER = Order("either")
EXPANDED = Order("expanded")


def input_orders(model: keras.Model) -> dict[str, Order]:
    """Layer path -> the order in which PyTorch has what the layer reads, for every layer of `model` with weights.

    Args:
      model: a functional or Sequential model; layers in nested ones have a path, as in masks.
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
                    first = Order("unknown", None, f"how the weights of a {name} are kept there is not known")
                elif path in found and found[path] != first:
                    first = Order("unknown", None, "it is called twice, on inputs in different orders")
                found[path] = first
            given = [_after(layer, read, into, shape) for shape in out]
        orders |= dict(zip(call.outputs, given, strict=True))
        shapes |= dict(zip(call.outputs, out, strict=True))
    return [orders[key] for key in keys(model.outputs)]


def _of_input(tensor: tf.Tensor) -> Order:
    """Of images PyTorch has the channels first; of a sequence that is the model's choice."""
    rank = len(tensor.shape) - 1
    if rank < 2:
        return SAME
    return CHANNELS_FIRST if rank > 2 else EITHER


def _after(layer: keras.layers.Layer, read: Sequence[Order], into: Sequence[tuple], out: tuple) -> Order:
    """The order of what a layer gives."""
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
        return EITHER  # positions in a row, channels as they are
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
    """The place, with channels first, of each number of a flattened tensor of `shape`, channels last."""
    first = np.arange(int(np.prod(shape))).reshape(shape[-1], *shape[:-1])
    return np.moveaxis(first, 0, -1).ravel()


def _without_ones(shape: tuple) -> tuple:
    return tuple(size for size in shape if size != 1)


def _unknown(name: str) -> Order:
    return Order("unknown", None, f"behind {name} it is not known in which order its inputs are there")


def reordered(kernel: np.ndarray, order: Order | None) -> np.ndarray:
    """A kernel of [inputs, outputs], or numbers by feature, in the order in which they are read here."""
    return kernel if order is None or order.places is None else kernel[order.places]
