"""Which rule applies to a call."""

from __future__ import annotations

from tost_tf.compaction.graph import Graph, Tensor
from tost_tf.compaction.merge import MERGES, SUMS, Averaged, Concatenated, Merged, Sum, kind_of
from tost_tf.compaction.pointwise import (
    BINARY_SYMBOLS,
    SYMBOLS,
    Normalization,
    ParametricReLU,
    Pointwise,
    ZeroBorder,
)
from tost_tf.compaction.reshape import Reshaped, ZeroChannels
from tost_tf.compaction.rule import Channelwise, Rule
from tost_tf.compaction.weighted import Dense, Depthwise, Separable, Weighted
from tost_tf.compat import keras
from tost_tf.graph.calls import Call


def _classes(names: str) -> list[type]:
    return [getattr(keras.layers, name) for name in names.split()]


# Class of a layer (not its subclasses, which may do anything) or symbol of an operation -> rules; the first that fits.
RULES: dict[type | str, tuple[type[Rule], ...]] = {
    **dict.fromkeys(_classes("Conv1D Conv2D Conv3D"), (Weighted,)),
    **dict.fromkeys(_classes("SeparableConv1D SeparableConv2D"), (Separable,)),
    **dict.fromkeys(_classes("DepthwiseConv1D DepthwiseConv2D"), (Depthwise,)),
    keras.layers.Dense: (Dense,),
    keras.layers.BatchNormalization: (Normalization,),
    keras.layers.PReLU: (ParametricReLU,),
    **dict.fromkeys(_classes("Activation ReLU LeakyReLU ELU ThresholdedReLU Rescaling"), (Pointwise,)),
    **dict.fromkeys(SYMBOLS, (Pointwise,)),
    **dict.fromkeys(BINARY_SYMBOLS, (Pointwise,)),
    **dict.fromkeys(_classes("Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D"), (Channelwise,)),
    **dict.fromkeys(_classes("GaussianDropout GaussianNoise AlphaDropout ActivityRegularization"), (Channelwise,)),
    **dict.fromkeys(
        _classes(
            " ".join(f"{kind}Pooling{n}D Global{kind}Pooling{n}D" for kind in ("Average", "Max") for n in (1, 2, 3))
        ),
        (Channelwise,),
    ),
    **dict.fromkeys(
        _classes("Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D"), (Channelwise,)
    ),
    **dict.fromkeys(_classes("ZeroPadding1D ZeroPadding2D"), (ZeroBorder,)),
    keras.layers.ZeroPadding3D: (ZeroChannels, ZeroBorder),
    **dict.fromkeys(_classes("Flatten Reshape"), (Reshaped,)),
    keras.layers.Average: (Averaged,),
    **dict.fromkeys((keras.layers.Concatenate, "concat"), (Concatenated,)),
    **dict.fromkeys(MERGES, (Merged,)),
    **dict.fromkeys(SUMS, (Sum,)),
}
# Operations of two tensors, or of a tensor and a number.
RULES |= {symbol: (Pointwise, *RULES[symbol]) for symbol in MERGES if symbol in BINARY_SYMBOLS}


def rule_for(call: Call, inputs: list[Tensor]) -> Rule:
    """The rule of a call: the one for its layer if it fits the layer's options and the call, else `Rule` itself."""
    layer = call.layer
    noise_shape = getattr(layer, "noise_shape", None)
    unusual = (
        call.is_for_training
        or call.is_masked
        or getattr(layer, "data_format", None) == "channels_first"
        or isinstance(getattr(layer, "activation", None), keras.layers.Layer)
        or (noise_shape is not None and noise_shape[-1] not in (None, 1))
    )
    candidates = () if unusual else RULES.get(kind_of(call), ())
    kind = next((rule for rule in candidates if rule.fits(call, inputs)), Rule)
    return kind(call, inputs)


def rules_of(graph: Graph) -> list[Rule]:
    """A rule for each call of the graph."""
    tensors = {key: Tensor(key, shape) for key, shape in zip(graph.inputs, graph.input_shapes, strict=True)}
    rules = []
    for call in graph.calls:
        rule = rule_for(call, [tensors[key] for key in call.inputs])
        tensors |= {tensor.key: tensor for tensor in rule.outputs}
        rules.append(rule)
    return rules
