"""How many activations are zero (ToST, Table 1)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tost_tf.analysis.analysis import Analysis, Results, Subject
from tost_tf.analysis.options import AnalysisOptions
from tost_tf.compat import keras, tf
from tost_tf.drawing import COLOURS, save, titled_axes
from tost_tf.ghost.model import GhostModel
from tost_tf.ghost.neuron_layer import GhostNeuron
from tost_tf.ghost.relus import RELUS, has_activation, is_relu
from tost_tf.graph.batches import inputs_alone
from tost_tf.graph.copy import unwrapped_layer
from tost_tf.graph.kernels import walk
from tost_tf.graph.lent import lent
from tost_tf.graph.replaced_calls import calls_replaced
from tost_tf.progress import progress
from tost_tf.ranges import require_number

BATCH = 250


def activation_sparsity(model: keras.Model, images: Any, epsilon: float = 1e-2) -> list[dict]:
    """The fraction of zero outputs of each ReLU or ghost neuron of a model, in inference mode.

    Args:
      model: a functional or Sequential tf_keras model, or a `GhostModel` (its view in use). Layers of nested models and
        those in `TimeDistributed` are counted too, and a layer that is called several times is counted over all its
        calls.
      images: preprocessed as the model expects, [images, ...]; or data with images and labels, as `Batches` takes it.
      epsilon: outputs with a smaller absolute value than this count as near zero; above 0.

    Returns:
      Rows of `layer`, `stage`, `zero` and `near_zero` (fractions in [0, 1]) and `outputs` (the number of outputs).

    Raises:
      TostError: `epsilon` is out of range, or `model` is of another kind.

    Examples:
      >>> [row["layer"] for row in tost.analysis.activation_sparsity(model, images)]
      ['relu1', 'relu2']
    """
    require_number("epsilon", epsilon, above=0)
    images = inputs_alone(images)
    network = model.view if isinstance(model, GhostModel) else model
    counts: dict[str, np.ndarray] = {}

    def record(name: str, outputs: tf.Tensor) -> None:
        size = tf.abs(outputs)
        zero, near = (int(tf.math.count_nonzero(condition)) for condition in (size == 0, size < epsilon))
        counts[name] = counts.get(name, np.zeros(3)) + np.array([zero, near, int(tf.size(outputs))])

    with _listening(network, record):
        for start in progress(range(0, len(images), BATCH), "activations"):
            network(tf.constant(images[start : start + BATCH]), training=False)
    return [
        {
            "layer": name,
            "stage": stage_of(name),
            "zero": float(zero / total),
            "near_zero": float(near / total),
            "outputs": int(total),
        }
        for name, (zero, near, total) in counts.items()
    ]


def by_stage(rows: list[dict]) -> list[dict]:
    """The rows of `activation_sparsity` averaged by stage, weighted by the number of outputs.

    Args:
      rows: as `activation_sparsity` gives them.

    Returns:
      Rows of `stage`, `zero` and `near_zero` (fractions in [0, 1]) and `outputs`, in the order of the network.

    Examples:
      >>> rows = tost.analysis.activation_sparsity(tost.models.build("resnet8", (8, 8, 1), 10, 0.25), images)
      >>> [row["stage"] for row in tost.analysis.by_stage(rows)]
      ['stem', 'stage1', 'stage2', 'stage3']
    """
    stages = dict.fromkeys(row["stage"] for row in rows)
    summed = []
    for stage in stages:
        members = [row for row in rows if row["stage"] == stage]
        total = sum(row["outputs"] for row in members)
        fractions = {key: sum(row[key] * row["outputs"] for row in members) / total for key in ("zero", "near_zero")}
        summed.append({"stage": stage, **fractions, "outputs": total})
    return summed


def stage_of(name: str) -> str:
    """ "stage2" for "stage2_block1_relu1", "conv3" for "conv3_block2_1_relu"; for other names the part before "_"."""
    match = re.match(r"((?:stage|block|conv|group|layer)\w*?\d+)(?:_|$)", name)
    return match[1] if match else name.partition("_")[0]


@contextlib.contextmanager
def _listening(model: keras.Model, record: Callable[[str, tf.Tensor], None]) -> Iterator[None]:
    """Inside the `with` block, passes the name and output of each ReLU or ghost neuron to `record`."""
    for_masks: list[str] = []  # a model at each step of a sequence is computed once more, only for its Keras mask

    def heard(name: str, function: Callable) -> Callable:
        def recorded(*args, **kwargs):
            outputs = function(*args, **kwargs)
            if not for_masks:
                record(name, outputs)
            return outputs

        return recorded

    def unheard(layer: keras.layers.Layer, compute_mask: Callable) -> Callable:
        def computed(*args, **kwargs):
            for_masks.append(layer.name)
            try:
                return compute_mask(*args, **kwargs)
            finally:
                for_masks.pop()

        return computed

    layers = list(_layers(model))
    whole = [layer for layer in layers if isinstance(layer, GhostNeuron) or is_relu(layer)]
    fused = [layer for layer in layers if has_activation(layer) and layer.activation in RELUS]
    activations = [(layer, "activation", heard(layer.name, layer.activation)) for layer in fused]
    in_steps = [part for part in model.submodules if isinstance(part, keras.layers.TimeDistributed)]
    with (
        calls_replaced(whole, lambda layer, call: heard(layer.name.removesuffix("_ghost"), call)),
        calls_replaced(in_steps, unheard, method="compute_mask"),
        lent(activations),
    ):
        yield


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model and of models in it, each once, without wrappers around them."""
    seen: set[int] = set()
    for _, layer in walk(model):
        inner = unwrapped_layer(layer)
        inner = inner.layer if isinstance(inner, keras.layers.TimeDistributed) else inner
        if id(inner) not in seen:
            seen.add(id(inner))
            yield inner


def draw_activations(results: Results, path: Path, title: str) -> None:
    """Bars: the fraction of activations that are zero (lighter: nearly zero), by stage."""
    stages = {label: by_stage(rows) for label, rows in results.items()}
    names = list(dict.fromkeys(row["stage"] for rows in stages.values() for row in rows))
    figure, axes = titled_axes(title, 1.5 + 0.5 * len(names))
    width = 0.8 / len(stages)
    for number, (label, rows) in enumerate(stages.items()):
        places = [names.index(row["stage"]) + width * (number - (len(stages) - 1) / 2) for row in rows]
        colour = COLOURS[number % len(COLOURS)]
        axes.barh(places, [row["near_zero"] for row in rows], width, color=colour, alpha=0.35, label=f"{label}: near 0")
        axes.barh(places, [row["zero"] for row in rows], width, color=colour, label=f"{label}: exactly 0")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("fraction of activations on the test images")
    axes.legend()
    save(figure, path)


def _compute(subject: Subject, options: AnalysisOptions) -> list[dict]:
    test = subject.data.test
    images, _ = subject.examples(test, len(test))
    return activation_sparsity(subject.model.view, images, options.epsilon)


ANALYSIS = Analysis(draw_activations, "activations that are zero", _compute)
