"""A smaller dense model instead of one with zeros in it."""

from __future__ import annotations

from tost_tf.compaction.fold import folded
from tost_tf.compaction.graph import Graph
from tost_tf.compaction.plan import Plan
from tost_tf.compaction.rebuild import rebuilt
from tost_tf.compaction.report import CompactionReport, layer_sizes, uncounted_layers
from tost_tf.compat import keras
from tost_tf.graph.stripped import require_stripped
from tost_tf.ranges import require_number


def compact(
    model: keras.Model, fold_normalization: bool = False, multiple: int = 1
) -> tuple[keras.Model, CompactionReport]:
    """Removes the channels that zeros in the kernels make useless. Outputs in inference stay the same, up to rounding.

    An output channel is removed if no remaining layer reads it, or if it is a constant that the biases of its readers
    can take in: zero always, another number only if no weight that reads it falls on padding. Channels that are added
    to each other are removed together. A constant term is removed from its sum, with the layers that compute only it.
    This is repeated until nothing changes. Each layer keeps at least one channel. Unknown layers (attention, recurrent
    layers, grouped and transposed convolutions, ...), channels-first layers, and calls with a Keras mask or
    `training=True` keep all inputs and outputs.

    Args:
      model: a functional or Sequential tf_keras model, usually from `strip`; it is not changed.
      fold_normalization: whether each BatchNormalization right after a convolution or Dense layer is taken into its
        kernel and bias. That saves time, and the network is for inference only then: it cannot be trained as before.
      multiple: layers keep a multiple of this number of channels, where there are enough that could go: 16 makes
        networks that are larger and may be faster on a CPU. At least 1.

    Returns:
      A functional model without nested models, with the same inputs and outputs, and a report of what was removed.

    Raises:
      TostError: `model` is of another kind, or still has masks or ghosts in it; or `multiple` is not a whole
        number of at least 1.

    Examples:
      >>> sparse = tost.sparsify(model, tost.masks.synflow(model, sparsity=0.97))
      >>> small, report = tost.compact(tost.strip(sparse))
      >>> report.after["conv2"].channels < report.before["conv2"].channels
      True
    """
    require_stripped(model)
    require_number("multiple", multiple, whole=True, minimum=1)
    graph = Graph(model)
    before, uncounted = layer_sizes(graph), uncounted_layers(graph)
    plan = Plan(graph, multiple=multiple)
    graph = Graph(rebuilt(plan))
    while not plan.changes_nothing:
        plan = Plan(graph, multiple=multiple)
        if not plan.changes_nothing:
            graph = Graph(rebuilt(plan))
    smaller = folded(graph) if fold_normalization else graph.model
    return smaller, CompactionReport(before, layer_sizes(graph), uncounted)
