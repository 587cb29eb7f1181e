"""The second view of a model: the same layers called again, with ghosts added."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.ghost import NO_GHOST
from tost_tf.ghost.activation import GhostActivation, is_layer
from tost_tf.ghost.before_activation import BeforeActivation
from tost_tf.ghost.branch_places import BranchPlace, branch_places
from tost_tf.ghost.branches import GhostBranches
from tost_tf.ghost.kinds import Kind, function_of, label_of
from tost_tf.ghost.neuron_layer import SOFT, GhostNeuron
from tost_tf.ghost.relus import RELUS, cap_of, has_activation, has_relu_inside, is_relu, other_activation
from tost_tf.ghost.skip import GhostSkip
from tost_tf.ghost.skip_places import SkipPlace, skip_places
from tost_tf.graph.calls import Call
from tost_tf.graph.copy import unwrapped_layer
from tost_tf.graph.rebuild import Replay, Tensors
from tost_tf.registry import GHOST_NEURONS
from tost_tf.seeds import derive_seed


@dataclasses.dataclass(frozen=True)
class Ghost:
    """A ghost: its `kind`, the layer it belongs to, the shape of its output [batch, *shape], its extra parameters."""

    layer: str
    kind: str
    shape: tuple[int | None, ...]
    extra_parameters: int


class GhostGraph(Replay):
    """Builds the ghosted view of a functional or Sequential model.

    Each ReLU becomes a `GhostActivation` or another `GhostNeuron`. Each spatial convolution (kernel size at least 2)
    gets a `GhostSkip` from its input to its output, or to the output of the following BatchNormalization if only that
    reads the convolution. Convolutions that read the model's input (the stem) get none. An activation inside a layer
    (`Conv2D(activation="relu")`) becomes a separate layer in this view: the skip is added before it, and a ReLU becomes
    a ghost. Layers with weights are called again, never copied, so the view trains the same weights. A layer that gets
    branches is called in a `GhostBranches`, with the BatchNormalization after it.

    Args:
      model: the plain view.
      neurons, skips: kinds of ghosts, or "none".
      skip_options: further arguments of each `GhostSkip`; its seed is derived from the one here.
      beta: the initial β.
      dead_channels: what ghost neurons do with channels that do not vary; with "relu", and if they have weights by
        channel, each call of a ReLU has a ghost of its own, as its channels are others.
      branches: how many each layer with a BatchNormalization after it has; 1 for none beside the layer itself.

    Attributes:
      view: the ghosted model, from the same inputs to outputs of the same shape.
      ghosts: in the order of the graph.
      left_alone: layer name -> activation, for activations that are not ReLU and do not change.
      inside: names of layers that contain layers with a ReLU, which does not change.
    """

    def __init__(
        self,
        model: keras.Model,
        neurons: Kind,
        skips: Kind,
        skip_options: Mapping[str, Any],
        beta: float,
        dead_channels: str,
        branches: int = 1,
    ):
        super().__init__()
        self.branches = branches
        self.dead_channels = dead_channels
        self._channels_first = any(getattr(part, "data_format", None) == "channels_first" for part in model.submodules)
        self.neurons, self.skips, self.skip_options, self.beta = neurons, skips, dict(skip_options), beta
        self.ghosts: list[Ghost] = []
        self.left_alone: dict[str, str] = {}
        self.inside: list[str] = []
        # By their role and the id of the layer they belong to, or the key of what a call gives.
        self._ghost_layers: dict[tuple[str, int | str], keras.layers.Layer] = {}
        self._places = {} if skips == NO_GHOST else skip_places(model)
        self._branch_places = {} if branches == 1 else branch_places(model)
        self._in_branches = {place.between for place in self._branch_places.values()}
        self._plain = model
        self.view = self.model(model)

    @property
    def has_branches(self) -> bool:
        """Whether any layer has branches."""
        return bool(self._branch_places)

    def name(self, model: keras.Model) -> str:
        return f"{model.name}_ghosted" if model is self._plain else model.name

    def inputs(self, model: keras.Model) -> Any:
        # Those of the plain view, so that outputs of layers can be compared between the views.
        return model.input if model is self._plain else super().inputs(model)

    def call(self, call: Call, tensors: Tensors) -> Any:
        layer, own = call.layer, unwrapped_layer(call.layer)
        place = self._places.get(call.outputs[0])
        if call.outputs[0] in self._in_branches:
            return None  # called with the BatchNormalization after it
        if call.outputs[0] in self._branch_places:
            outputs = self._branch(self._branch_places[call.outputs[0]], tensors)
            return self._add_skip(place, tensors, outputs) if place else outputs
        self._note_left_alone(own)
        arguments, keywords = call.arguments(tensors)
        if has_activation(own) and (place or self._becomes_ghost(own.activation)):
            return self._split(call, arguments[0], place, tensors)
        if self.neurons != NO_GHOST and is_relu(layer):
            return self._activate(call, tensors[call.inputs[0]], cap_of(layer))
        outputs = self.layer(layer)(*arguments, **keywords)
        return self._add_skip(place, tensors, outputs) if place else outputs

    def _branch(self, place: BranchPlace, tensors: Tensors) -> tf.Tensor:
        """Calls the branches of a layer and of the BatchNormalization after it."""
        own, count = unwrapped_layer(place.layer), sum("branch" in ghost.kind for ghost in self.ghosts)
        ghost = GhostBranches(
            place.layer,
            place.normalization,
            self.branches,
            # Not by the name, which may be one that Keras has numbered.
            derive_seed(self.skip_options["seed"], f"branches {count}"),
            name=f"{own.name}_branches",
            dtype=own.dtype_policy,
        )
        outputs = ghost(tensors[place.source])
        parameters = sum(int(tf.size(weight)) for weight in ghost.new_weights if weight.trainable)
        self.ghosts.append(Ghost(own.name, f"{self.branches} branches", tuple(outputs.shape[1:]), parameters))
        return outputs

    def _note_left_alone(self, own: keras.layers.Layer) -> None:
        other = other_activation(own)
        if other and self.neurons != NO_GHOST:
            self.left_alone[own.name] = other
        if self.neurons != NO_GHOST and own.name not in self.inside and has_relu_inside(own):
            self.inside.append(own.name)

    def _activate(self, call: Call, x: tf.Tensor, cap: float | None) -> tf.Tensor:
        """Calls the ghost that replaces a ReLU layer, or the ReLU in a layer."""
        own, label = unwrapped_layer(call.layer), label_of(self.neurons)
        each = self.dead_channels != SOFT or is_layer(function_of(GHOST_NEURONS, self.neurons))
        key = ("neuron", call.outputs[0] if each else id(call.layer))
        if key in self._ghost_layers:
            return self._ghost_layers[key](x)
        before = sum(ghost.layer == own.name and ghost.kind == label for ghost in self.ghosts) if each else 0
        ghost = self._ghost_layers[key] = self._neuron(
            max_value=cap,
            channel_axis=1 if self._channels_first and len(x.shape) > 2 else -1,
            name=f"{own.name}_ghost" + (f"_{before}" if before else ""),
            dtype=own.dtype_policy,
            activity_regularizer=getattr(own, "activity_regularizer", None),
        )
        outputs = ghost(x)
        self.ghosts.append(Ghost(own.name, label, tuple(x.shape[1:]), _parameters(ghost)))
        return outputs

    def _neuron(self, **options: Any) -> GhostNeuron:
        kind = function_of(GHOST_NEURONS, self.neurons)
        if is_layer(kind):
            return kind(dead_channels=self.dead_channels, **options)
        return GhostActivation(self.neurons, self.beta, dead_channels=self.dead_channels, **options)

    def _becomes_ghost(self, activation: Callable) -> bool:
        return self.neurons != NO_GHOST and activation in RELUS

    def _split(self, call: Call, x: tf.Tensor, place: SkipPlace | None, tensors: Tensors) -> tf.Tensor:
        """Splits a layer with an activation: calls the layer without it, adds the skip, calls activation or ghost."""
        layer, own = call.layer, unwrapped_layer(call.layer)
        key = ("before", id(layer))
        if key not in self._ghost_layers:
            self._ghost_layers[key] = BeforeActivation(
                layer, name=f"{own.name}_before_activation", dtype=own.dtype_policy
            )
        outputs = self._ghost_layers[key](x)
        if place:
            outputs = self._add_skip(place, tensors, outputs)
        if self._becomes_ghost(own.activation):
            return self._activate(call, outputs, RELUS[own.activation])
        activation = keras.layers.Activation(
            own.activation, dtype=own.dtype_policy, activity_regularizer=own.activity_regularizer
        )
        return activation(outputs)

    def _add_skip(self, place: SkipPlace, tensors: Tensors, outputs: tf.Tensor) -> tf.Tensor:
        convolution, block_input = place.convolution, tensors[place.source]
        key = ("skip", id(convolution))
        if key in self._ghost_layers:
            return self._ghost_layers[key]([block_input, outputs])
        ghost = GhostSkip(
            self.skips,
            tuple(convolution.strides),
            tuple(convolution.kernel_size),
            tuple(convolution.dilation_rate),
            convolution.padding,
            **self.skip_options | {"seed": derive_seed(self.skip_options["seed"], convolution.name)},
            data_format=convolution.data_format,
            name=f"{convolution.name}_ghost_skip",
            dtype=convolution.dtype_policy,
        )
        self._ghost_layers[key] = ghost
        result = ghost([block_input, outputs])
        self.ghosts.append(Ghost(convolution.name, label_of(self.skips), tuple(outputs.shape[1:]), _parameters(ghost)))
        return result


def _parameters(ghost: keras.layers.Layer) -> int:
    """How many numbers of a ghost are trained."""
    return sum(int(tf.size(weight)) for weight in ghost.trainable_weights)
