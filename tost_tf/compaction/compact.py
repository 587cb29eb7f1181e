"""A smaller dense model in place of one with zeros in it."""

from __future__ import annotations

from tost_tf.compaction.graph import Graph
from tost_tf.compaction.plan import Plan
from tost_tf.compaction.rebuild import rebuilt
from tost_tf.compaction.report import CompactionReport, layer_sizes, uncounted_layers
from tost_tf.compat import keras
from tost_tf.masks.sparsify import require_stripped


def compact(model: keras.Model) -> tuple[keras.Model, CompactionReport]:
    """Removes what zeros in the kernels make dead, for good; outputs in inference stay the same, up to rounding.

    An output channel goes if no layer that is left reads it, or if it is the same number everywhere and this can be put
    into the biases of what reads it: zero always, another number only where no weight that reads it falls on padding.
    Channels that a sum adds go together; a term that is constant leaves the sum, and its layers the model. This is
    repeated until nothing changes. Each layer keeps one channel at least. Of layers that are not known (attention,
    recurrent ones, grouped and transposed convolutions, ...), of channels-first layers, and where Keras masks or
    `training=True` are given, all inputs and outputs stay.

    Args:
      model: a functional or Sequential tf_keras model, usually from `strip`; it is left as it is.

    Returns:
      A functional model without nested models, with the same inputs and outputs, and what was removed.

    Raises:
      TostError: `model` is of another kind, or still has masks or ghosts in it.
    """
    require_stripped(model)
    graph = Graph(model)
    before, uncounted = layer_sizes(graph), uncounted_layers(graph)
    plan = Plan(graph)
    graph = Graph(rebuilt(plan))
    while not plan.changes_nothing:
        plan = Plan(graph)
        if not plan.changes_nothing:
            graph = Graph(rebuilt(plan))
    return graph.model, CompactionReport(before, layer_sizes(graph), uncounted)
