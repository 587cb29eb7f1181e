"""The second view of a model: the same layers called again, with ghosts put in."""

import dataclasses
from collections import defaultdict

from tost_tf.compat import call_arguments, graph_nodes, is_graph_model, keras, tf
from tost_tf.config.recipe import NO_GHOST
from tost_tf.ghost.activation import GhostActivation
from tost_tf.ghost.skip import GhostSkip
from tost_tf.models.copy import inside

WEIGHTED = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)
WEIGHTED += (keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
SPATIAL = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


@dataclasses.dataclass(frozen=True)
class Ghost:
    """What was put where: `kind` beside or in place of the layer `layer`, giving [batch, *shape]."""

    layer: str
    kind: str
    shape: tuple[int | None, ...]
    extra_parameters: int


class HauntedGraph:
    """Builds the ghosted view of a functional or Sequential model.

    Each ReLU becomes a `GhostActivation`. Each spatial convolution (kernel of at least 2) gets a `GhostSkip` from its
    input to its output, after the BatchNormalization that follows it where it feeds nothing else; convolutions that
    read the model's input (the stem) get none. Layers with weights are called again, never copied, so the view
    trains the same weights.

    Args:
      model: the plain view.
      neurons, skips: kinds of ghosts, or "none".
      skip_initializer: for projection skips.
      beta: β at the start.

    Attributes:
      view: the ghosted model, from the same inputs to outputs of the same shape.
      ghosts: what was put in, in the order of the graph.
    """

    def __init__(self, model: keras.Model, neurons: str, skips: str, skip_initializer: str, beta: float):
        self.neurons, self.skips, self.skip_initializer, self.beta = neurons, skips, skip_initializer, beta
        self.ghosts: list[Ghost] = []
        self._ghost_layers: dict[int, keras.layers.Layer] = {}  # by the id of the layer they stand in for
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
            outputs = self._call(node.layer, arguments, keywords)
            key = node.flat_output_ids[0]
            skip = self._skip_for(node.layer, arguments)
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
            return self._walk(layer, tf.nest.flatten(arguments))
        if self.neurons == NO_GHOST or not is_relu(layer):
            return layer(*arguments, **keywords)
        if id(layer) not in self._ghost_layers:
            cap = _cap(layer)
            ghost = GhostActivation(self.neurons, self.beta, cap, name=f"{layer.name}_ghost")
            self._ghost_layers[id(layer)] = ghost
            self.ghosts.append(Ghost(layer.name, self.neurons, tuple(arguments[0].shape[1:]), 0))
        return self._ghost_layers[id(layer)](arguments[0])

    def _skip_for(self, layer: keras.layers.Layer, arguments: tuple) -> tuple | None:
        """The convolution and its input, if it gets a skip."""
        convolution = inside(layer)
        spatial = isinstance(convolution, SPATIAL) and not isinstance(convolution, keras.layers.Conv2DTranspose)
        if self.skips == NO_GHOST or not spatial or max(convolution.kernel_size) < 2:
            return None
        is_stem = id(arguments[0]) not in self._past_weights
        return None if is_stem else (convolution, arguments[0])

    def _add_skip(self, convolution: keras.layers.Layer, block_input: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        if id(convolution) not in self._ghost_layers:
            crop = (0, 0)
            if convolution.padding == "valid":
                sizes = zip(convolution.kernel_size, convolution.dilation_rate, strict=True)
                crop = tuple((size - 1) * dilation // 2 for size, dilation in sizes)
            ghost = GhostSkip(
                self.skips,
                tuple(convolution.strides),
                crop,
                self.skip_initializer,
                name=f"{convolution.name}_ghost_skip",
            )
            self._ghost_layers[id(convolution)] = ghost
            result = ghost([block_input, outputs])
            parameters = sum(int(tf.size(weight)) for weight in ghost.trainable_weights)
            self.ghosts.append(Ghost(convolution.name, self.skips, tuple(outputs.shape[1:]), parameters))
            return result
        return self._ghost_layers[id(convolution)]([block_input, outputs])

    def _note_depth(self, layer: keras.layers.Layer, call: tuple, outputs: tf.Tensor | list[tf.Tensor]) -> None:
        past = any(id(value) in self._past_weights for value in tf.nest.flatten(call))
        if past or isinstance(inside(layer), WEIGHTED):
            self._past_weights |= {id(tensor): tensor for tensor in tf.nest.flatten(outputs)}


def is_relu(layer: keras.layers.Layer) -> bool:
    """Whether `layer` is a ReLU, capped or not, without leak or threshold."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope and not layer.threshold
    return isinstance(layer, keras.layers.Activation) and layer.activation in (
        keras.activations.relu,
        tf.nn.relu6,
    )


def _cap(layer: keras.layers.Layer) -> float | None:
    if isinstance(layer, keras.layers.ReLU):
        return None if layer.max_value is None else float(layer.max_value)
    return 6.0 if layer.activation is tf.nn.relu6 else None


def _normalization_only(readers: list[keras.layers.Layer]) -> bool:
    return len(readers) == 1 and isinstance(readers[0], keras.layers.BatchNormalization)
