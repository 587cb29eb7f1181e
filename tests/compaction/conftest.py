"""How every network here is checked."""

from collections.abc import Callable

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compaction.graph import Graph
from tost_tf.compaction.plan import Plan
from tost_tf.compaction.report import CompactionReport
from tost_tf.compat import keras, tf
from tost_tf.graph.copy import copy_layer

Compacted = tuple[keras.Model, CompactionReport]


def random_inputs(model: keras.Model, examples: int = 3) -> list[np.ndarray]:
    generator = np.random.default_rng(5)
    shapes = [(examples, *(size or 9 for size in x.shape[1:])) for x in model.inputs]
    return [generator.normal(0.3, 1, shape).astype(np.float32) for shape in shapes]


def in_double_precision(model: keras.Model) -> keras.Model:
    """A copy that computes in float64."""
    copy = keras.models.clone_model(model, clone_function=lambda layer: copy_layer(layer, dtype="float64"))
    copy.set_weights(model.get_weights())
    return copy


@pytest.fixture
def compacted() -> Callable[[keras.Model], Compacted]:
    """A function that compacts a model, and checks that its outputs stay, and that no second pass finds more."""

    def check(model: keras.Model) -> Compacted:
        images = random_inputs(model)
        before = [np.array(output) for output in tf.nest.flatten(model(images))]
        weights = model.get_weights()
        small, report = tost.compact(model)
        for now, old in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(now, old)
        assert [(x.name, x.shape) for x in small.inputs] == [(x.name, x.shape) for x in model.inputs]
        for expected, output in zip(before, tf.nest.flatten(small(images)), strict=True):
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * scale)
        assert Plan(Graph(small)).changes_nothing
        assert report.channels[1] == sum(size.channels for size in report.after.values())
        return small, report

    return check


@pytest.fixture
def settle() -> Callable[[keras.Model], None]:
    """A function that gives a model's BatchNormalizations scales and shifts of any size, and the statistics they have
    on random images, as after a training: what is alive goes through however sparse the layers are.
    """

    def set_numbers(model: keras.Model) -> None:
        generator = np.random.default_rng(6)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
                if layer.gamma is not None:
                    layer.gamma.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
                layer.beta.assign(generator.normal(0, 0.3, layer.beta.shape))
        model(random_inputs(model, 64), training=True)

    return set_numbers
