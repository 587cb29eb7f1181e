"""The second view of a model: the same layers called again, with ghosts put in."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable

from tost_tf.compat import call_arguments, graph_nodes, is_graph_model, keras, tf
from tost_tf.config.recipe import NO_GHOST
from tost_tf.ghost.activation import GhostActivation
from tost_tf.ghost.skip import GhostSkip
from tost_tf.models.copy import inside

CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
WEIGHTED = (*CONVOLUTIONS, keras.layers.Dense)
# Layers that are an activation and no ReLU.
OTHER_ACTIVATIONS = (keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU, keras.layers.ThresholdedReLU)
# What is a ReLU, and its cap: functions, and the symbols of TensorFlow's operations in a graph.
RELUS = {keras.activations.relu: None, tf.nn.relu: None, tf.nn.relu6: 6.0, "nn.relu": None, "nn.relu6": 6.0}
# Operations that are an activation and no ReLU.
OTHER_SYMBOLS = {f"nn.{name}" for name in ("elu", "gelu", "leaky_relu", "selu", "silu", "swish")} | {"math.tanh"}
NOT_OF_INTEREST = (keras.activations.linear, keras.activations.softmax, keras.activations.sigmoid)


@dataclasses.dataclass(frozen=True)
class Ghost:
    """What was put where: `kind` beside or in place of the layer `layer`, giving [batch, *shape]."""

    layer: str
    kind: str
    shape: tuple[int | None, ...]
    extra_parameters: int


class BeforeActivation(keras.layers.Layer):
    """A layer called without its own activation. It holds the layer itself, so the weights are the same."""

    def __init__(self, layer: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, inputs):
        own = inside(self.layer)
        activation, own.activation = own.activation, keras.activations.linear
        try:
            return self.layer(inputs)
        finally:
            own.activation = activation

    def get_config(self):
        return super().get_config() | {"layer": keras.layers.serialize(self.layer)}

    @classmethod
    def from_config(cls, config):
        return cls(**(config | {"layer": keras.layers.deserialize(config["layer"])}))


class HauntedGraph:
    """Builds the ghosted view of a functional or Sequential model.

    Each ReLU becomes a `GhostActivation`. Each spatial convolution (kernel of at least 2) gets a `GhostSkip` from its
    input to its output, after the BatchNormalization that follows it where it feeds nothing else; convolutions that
    read the model's input (the stem) get none. A layer's own activation (`Conv2D(activation="relu")`) is split off in
    this view, so that the skip comes before it and a ReLU becomes a ghost. Layers with weights are called again, never
    copied, so the view trains the same weights.

    Args:
      model: the plain view.
      neurons, skips: kinds of ghosts, or "none".
      skip_initializer: for projection skips.
      beta: β at the start.

    Attributes:
      view: the ghosted model, from the same inputs to outputs of the same shape.
      ghosts: what was put in, in the order of the graph.
      left_alone: name of a layer -> the activation it has, for activations that are no ReLU and stay as they are.
    """

    def __init__(self, model: keras.Model, neurons: str, skips: str, skip_initializer: str, beta: float):
        self.neurons, self.skips, self.skip_initializer, self.beta = neurons, skips, skip_initializer, beta
        self.ghosts: list[Ghost] = []
        self.left_alone: dict[str, str] = {}
        # By what they are and the id of the layer they stand in for.
        self._ghost_layers: dict[tuple[str, int], keras.layers.Layer] = {}
        self._past_weights: dict[int, tf.Tensor] = {}  # tensors computed from a layer with weights, by id
        outputs = self._walk(model, tf.nest.flatten(model.inputs))
        outputs = tf.nest.pack_sequence_as(model.output, outputs)
        self.view = keras.Model(model.input, outputs, name=f"{model.name}_haunted")

    def _walk(self, model: keras.Model, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        nodes = graph_nodes(model)
        readers = defaultdict(list)
        for node in nodes:
            for key in node.flat_input_ids:
                readers[key].append(node.layer)
        model_outputs = [str(id(tensor)) for tensor in model.outputs]
        tensors = {str(id(old)): new for old, new in zip(model.inputs, inputs, strict=True)}
        waiting = {}  # output of a convolution -> the skip to add after its BatchNormalization
        for node in nodes:
            arguments, keywords = call_arguments(node, tensors)
            skip = self._skip_for(node.layer, arguments)
            other = other_activation(inside(node.layer))
            if other and self.neurons != NO_GHOST:
                self.left_alone[inside(node.layer).name] = other
            if has_activation(inside(node.layer)) and (skip or self._becomes_ghost(inside(node.layer).activation)):
                outputs = self._split(node.layer, arguments[0], skip)
                self._note_depth(node.layer, (arguments, keywords), outputs)
                tensors[node.flat_output_ids[0]] = outputs
                continue
            outputs = self._call(node.layer, arguments, keywords)
            key = node.flat_output_ids[0]
            if skip and key not in model_outputs and _normalization_only(readers[key]):
                waiting[key] = skip
            else:
                skip = skip or waiting.pop(next(iter(node.flat_input_ids), None), None)
                outputs = self._add_skip(*skip, outputs) if skip else outputs
            self._note_depth(node.layer, (arguments, keywords), outputs)
            tensors |= dict(zip(node.flat_output_ids, tf.nest.flatten(outputs), strict=True))
        return [tensors[key] for key in model_outputs]

    def _call(self, layer: keras.layers.Layer, arguments: tuple, keywords: dict) -> tf.Tensor | list[tf.Tensor]:
        if is_graph_model(layer):
            keywords = dict(keywords)
            inputs = arguments or (keywords.pop("inputs"),)
            return self._nested(layer, tf.nest.flatten(inputs), keywords)
        if self.neurons == NO_GHOST or not is_relu(layer):
            return layer(*arguments, **keywords)
        return self._activate(layer, arguments[0], _cap(layer))

    def _activate(self, layer: keras.layers.Layer, x: tf.Tensor, cap: float | None) -> tf.Tensor:
        """The ghost in place of a ReLU layer, or of the ReLU in a layer."""
        key = ("neuron", id(layer))
        if key not in self._ghost_layers:
            self._ghost_layers[key] = GhostActivation(
                self.neurons, self.beta, cap, name=f"{inside(layer).name}_ghost", dtype=inside(layer).dtype_policy
            )
            self.ghosts.append(Ghost(inside(layer).name, self.neurons, tuple(x.shape[1:]), 0))
        return self._ghost_layers[key](x)

    def _nested(self, model: keras.Model, inputs: list[tf.Tensor], keywords: dict) -> tf.Tensor | list[tf.Tensor]:
        """A nested model has a view of its own, so that its layers' names need to differ in it only."""
        key = ("model", id(model))
        if key not in self._ghost_layers:
            fresh = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in inputs]
            self._past_weights |= {
                id(own): own for own, given in zip(fresh, inputs, strict=True) if id(given) in self._past_weights
            }
            outputs = tf.nest.pack_sequence_as(model.output, self._walk(model, fresh))
            self._ghost_layers[key] = keras.Model(fresh, outputs, name=model.name)
        return self._ghost_layers[key](inputs if len(inputs) > 1 else inputs[0], **keywords)

    def _becomes_ghost(self, activation: Callable) -> bool:
        return self.neurons != NO_GHOST and activation in RELUS

    def _split(self, layer: keras.layers.Layer, x: tf.Tensor, skip: tuple | None) -> tf.Tensor:
        """A layer with an activation of its own: what comes before it, the skip, and the activation or its ghost."""
        own = inside(layer)
        key = ("before", id(layer))
        if key not in self._ghost_layers:
            self._ghost_layers[key] = BeforeActivation(
                layer, name=f"{own.name}_before_activation", dtype=own.dtype_policy
            )
        outputs = self._ghost_layers[key](x)
        if skip:
            outputs = self._add_skip(*skip, outputs)
        if self._becomes_ghost(own.activation):
            return self._activate(layer, outputs, RELUS[own.activation])
        return keras.layers.Activation(own.activation, dtype=own.dtype_policy)(outputs)

    def _skip_for(self, layer: keras.layers.Layer, arguments: tuple) -> tuple | None:
        """The convolution and its input, if it gets a skip."""
        convolution = inside(layer)
        spatial = isinstance(convolution, CONVOLUTIONS) and not isinstance(convolution, TRANSPOSED)
        if self.skips == NO_GHOST or not spatial or max(convolution.kernel_size) < 2:
            return None
        is_stem = id(arguments[0]) not in self._past_weights
        return None if is_stem else (convolution, arguments[0])

    def _add_skip(self, convolution: keras.layers.Layer, block_input: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        key = ("skip", id(convolution))
        if key not in self._ghost_layers:
            ghost = GhostSkip(
                self.skips,
                tuple(convolution.strides),
                tuple(convolution.kernel_size),
                tuple(convolution.dilation_rate),
                convolution.padding,
                self.skip_initializer,
                data_format=convolution.data_format,
                name=f"{convolution.name}_ghost_skip",
                dtype=convolution.dtype_policy,
            )
            self._ghost_layers[key] = ghost
            result = ghost([block_input, outputs])
            parameters = sum(int(tf.size(weight)) for weight in ghost.trainable_weights)
            self.ghosts.append(Ghost(convolution.name, self.skips, tuple(outputs.shape[1:]), parameters))
            return result
        return self._ghost_layers[key]([block_input, outputs])

    def _note_depth(self, layer: keras.layers.Layer, call: tuple, outputs: tf.Tensor | list[tf.Tensor]) -> None:
        past = any(id(value) in self._past_weights for value in tf.nest.flatten(call))
        parts = layer.submodules if is_graph_model(layer) else (inside(layer),)
        if past or any(isinstance(part, WEIGHTED) for part in parts):
            self._past_weights |= {id(tensor): tensor for tensor in tf.nest.flatten(outputs)}


def is_relu(layer: keras.layers.Layer) -> bool:
    """Whether `layer` is a ReLU, capped or not, without leak or threshold."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope and not layer.threshold
    return _as_function(layer) in RELUS


def _as_function(layer: keras.layers.Layer) -> Callable | str | None:
    """The activation an `Activation` layer holds, or the symbol of an operation (`tf.nn.relu(x)` is a layer too)."""
    return layer.activation if isinstance(layer, keras.layers.Activation) else getattr(layer, "symbol", None)


def other_activation(layer: keras.layers.Layer) -> str | None:
    """The name of the activation `layer` is or has, if it is one that no ghost takes the place of."""
    if isinstance(layer, OTHER_ACTIVATIONS) or (isinstance(layer, keras.layers.ReLU) and not is_relu(layer)):
        return type(layer).__name__
    function = layer.activation if has_activation(layer) else _as_function(layer)
    if isinstance(function, str):
        return function if function in OTHER_SYMBOLS else None
    return None if function in (None, *NOT_OF_INTEREST, *RELUS) else getattr(function, "__name__", str(function))


def has_activation(layer: keras.layers.Layer) -> bool:
    """Whether `layer` has weights and, behind them, an activation of its own."""
    return isinstance(layer, WEIGHTED) and layer.activation not in (None, keras.activations.linear)


def _cap(layer: keras.layers.Layer) -> float | None:
    if isinstance(layer, keras.layers.ReLU):
        return None if layer.max_value is None else float(layer.max_value)
    return RELUS[_as_function(layer)]


def _normalization_only(readers: list[keras.layers.Layer]) -> bool:
    return len(readers) == 1 and isinstance(readers[0], keras.layers.BatchNormalization)
