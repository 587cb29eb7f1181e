"""A smaller network that computes, in training too, what a sparse model does, with the weights of that model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tost_tf.compaction.cut import Cut
from tost_tf.compaction.graph import Graph
from tost_tf.compaction.lasting import lasting_plan
from tost_tf.compaction.rebuild import rebuilt_with_layers
from tost_tf.compaction.report import CompactionReport, layer_sizes, uncounted_layers
from tost_tf.compat import keras, tf
from tost_tf.compat.losses import losses_of_weights
from tost_tf.errors import TostError
from tost_tf.graph.kernels import current_masks, walk
from tost_tf.graph.lent import lent


class TrainingView:
    """A sparse model without the channels that its masks leave dead for good, over the weights of the model itself.

    It has no weights of its own: in each call its layers take what stays of the model's, and gradients are put back in
    their places, with zeros elsewhere. So optimizers, averages and checkpoints go on with the weights of the model. No
    channel is removed that later weights could make use of: outputs, losses and gradients are those of the model, in
    training and in inference, up to rounding; only random numbers (dropout) are others, as there are fewer channels.
    The statistics of removed channels stay as they are.

    Args:
      model: a functional or Sequential model made by `sparsify`. Its masks must not change from then on.

    Attributes:
      report: what was removed.

    Raises:
      TostError: masks of the model are to change, or it has penalties on activations or layers that cannot be cut.
    """

    def __init__(self, model: keras.Model):
        _require_fixed_masks(model)
        if len(model.losses) > len(losses_of_weights(model)):
            raise TostError(
                f"{model.name} has penalties on activations or other added losses, in which channels that would be "
                "removed count: it cannot be trained without them"
            )
        self._model, self._masks = model, current_masks(model)
        lasting = lasting_plan(model)
        self._small, layers = rebuilt_with_layers(lasting.plan)
        for rule, small in layers:
            kept_in = [lasting.plan.kept(tensor) for tensor in rule.inputs]
            cuts = rule.cuts(kept_in, lasting.plan.kept(rule.outputs[0]))
            weights = [lasting.weights[id(weight)] for weight in rule.layer.weights]
            parts = [
                _lent(small, own, weight, cut, lasting.masks.get(id(weight)))
                for own, weight, cut in zip(small.weights, weights, cuts, strict=True)
            ]
            if parts:
                # Not by a normal assignment: Keras would search the new value for weights.
                object.__setattr__(small, "call", _with_lent_weights(small.call, parts))
        before = lasting.plan.graph
        self.report = CompactionReport(layer_sizes(before), layer_sizes(Graph(self._small)), uncounted_layers(before))

    def __call__(self, inputs: Any, training: Any = None) -> Any:
        return self._small(inputs, training=training)

    def require_same_masks(self) -> None:
        """Raises `TostError` if the masks of the model are no longer those it was made for."""
        now = current_masks(self._model)
        changed = [path for path, mask in self._masks.items() if not np.array_equal(mask, now[path])]
        if changed:
            raise TostError(
                f"the mask of {changed[0]} has changed since dead channels were removed from training, and they may "
                "come alive: train masks that change without it"
            )


@dataclasses.dataclass(frozen=True)
class _Lent:
    """A weight of a model of which a smaller layer takes a part.

    Attributes:
      holder, attribute: where the smaller layer looks for it.
      own: what is there, of the size of the part.
      weight: of the model.
      cut: the part.
      mask: of the part, `None` if nothing of it is pruned.
    """

    holder: Any
    attribute: str
    own: tf.Variable
    weight: tf.Variable
    cut: Cut
    mask: tf.Tensor | None

    def part(self) -> tf.Tensor:
        part = self.cut.take(tf.convert_to_tensor(self.weight))
        return part if self.mask is None else tf.where(self.mask, part, tf.zeros_like(part))


def _lent(layer: keras.layers.Layer, own: tf.Variable, weight: tf.Variable, cut: Cut, mask: np.ndarray | None) -> _Lent:
    places = [
        (holder, name) for holder in (layer, *layer.submodules) for name, value in vars(holder).items() if value is own
    ]
    if not places:
        raise TostError(
            f"the layer {layer.name!r} ({type(layer).__name__}) holds {weight.name.removesuffix(':0')} in none of its "
            "attributes, so its network cannot be trained without dead channels"
        )
    kept = None if mask is None else cut.of_array(mask) > 0
    return _Lent(*places[0], own, weight, cut, None if kept is None or kept.all() else tf.constant(kept))


def _with_lent_weights(call: Callable, weights: list[_Lent]) -> Callable:
    """A call of a layer with parts of other weights in place of its own."""

    def call_with_lent_weights(*args, **kwargs):
        is_inference = kwargs.get("training") is None or kwargs.get("training") is False
        # What is trained is a tensor. Statistics are written in training, into the layer's own variables.
        read = [weight for weight in weights if is_inference or weight.own.trainable]
        written = [] if is_inference else [weight for weight in weights if not weight.own.trainable]
        for weight in written:
            weight.own.assign(weight.part())
        with lent((weight.holder, weight.attribute, weight.part()) for weight in read):
            outputs = call(*args, **kwargs)
        for weight in written:
            whole = tf.convert_to_tensor(weight.weight)
            weight.weight.assign(weight.cut.put_back(tf.convert_to_tensor(weight.own), whole))
        return outputs

    return call_with_lent_weights


def _require_fixed_masks(model: keras.Model) -> None:
    growing = [path for path, layer in walk(model) if getattr(layer, "dense_gradients", False)]
    if growing:
        raise TostError(
            f"the mask of {growing[0]} is to change, and channels that are dead now may come alive: train masks that "
            "change with all channels"
        )
