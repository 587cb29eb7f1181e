"""SynFlow against NumPy: scores from differences of the flow, and the masks of all its steps."""

import numpy as np
import pytest

import tost_tf as tost
from tests.parity import masked_network as reference
from tests.parity.masked_keras_network import assert_near, double_precision, keras_network
from tost_tf.masks.masks import Masks
from tost_tf.masks.synaptic_flow import SynapticFlow

SEED = 8


def flow(kernels: reference.Arrays) -> float:
    """R: the sum of the logits of an image of ones, of absolute parameters and statistics."""
    weights, statistics = reference.initial_weights(SEED)
    absolute = {name: np.abs(value) for name, value in (weights | kernels).items()}
    moving = {name: np.abs(value) for name, value in statistics.items()}
    return float(reference.inferred(absolute, moving, np.ones((1, *reference.IMAGE))).sum())


def scores(masks: reference.Arrays) -> reference.Arrays:
    """|θ·∂R/∂θ|: between the kinks of ReLU the flow is linear in each weight, so that differences are exact."""
    kernels = {name: reference.initial_weights(SEED)[0][name] * masks[name] for name in masks}
    found = {name: np.zeros_like(kernel) for name, kernel in kernels.items()}
    for name, kernel in kernels.items():
        for index in zip(*np.nonzero(kernel), strict=True):
            ends = []
            for factor in (1 + 1e-3, 1 - 1e-3):
                changed = kernel.copy()
                changed[index] *= factor
                ends.append(flow(kernels | {name: changed}))
            found[name][index] = abs(ends[0] - ends[1]) / 2e-3
    return found


def largest(values: np.ndarray, alive: np.ndarray, count: int) -> np.ndarray:
    order = np.argsort(np.where(alive == 1, -values, np.inf), kind="stable")
    mask = np.zeros(values.size)
    mask[order[:count]] = 1
    return mask


def pruned(masks: reference.Arrays, sparsity: float, iterations: int, scope: str) -> reference.Arrays:
    """The density falls exponentially: of all together, or of each layer from its own."""
    groups = [list(masks)] if scope == "global" else [[name] for name in masks]
    starts = [sum(masks[name].sum() for name in group) for group in groups]
    for step in range(1, iterations + 1):
        found = scores(masks)
        new = {}
        for group, start in zip(groups, starts, strict=True):
            size = sum(masks[name].size for name in group)
            count = round(start * ((1 - sparsity) * size / start) ** (step / iterations))
            values, alive = (np.concatenate([part[name].ravel() for name in group]) for part in (found, masks))
            parts = np.split(largest(values, alive, count), np.cumsum([masks[name].size for name in group])[:-1])
            new |= {name: part.reshape(masks[name].shape) for name, part in zip(group, parts, strict=True)}
        masks = {name: new[name] for name in masks}
    return masks


@pytest.fixture(scope="module")
def uneven() -> reference.Arrays:
    """Masks that leave the layers a half, all and two thirds of their weights."""
    densities = {"conv1/kernel": 0.5, "conv2/kernel": 1.0, "logits/kernel": 2 / 3}
    return {name: reference.initial_masks(4, density)[name] for name, density in densities.items()}


@pytest.fixture(scope="module")
def dense():
    with double_precision():
        return keras_network(*reference.initial_weights(SEED))


def test_scores(dense, uneven):
    assert_near(SynapticFlow(dense).scores(Masks(uneven)), scores(uneven), 1e-9)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_masks_of_every_step(dense, uneven, scope):
    expected = pruned(uneven, 0.8, 5, scope)
    with double_precision():
        found = tost.masks.synflow(tost.sparsify(dense, Masks(uneven)), sparsity=0.8, scope=scope, iterations=5)
    assert found == Masks(expected)
    assert found.kept == sum(mask.sum() for mask in expected.values())
    # One step alone gives another mask: the iterations matter.
    assert found != Masks(pruned(uneven, 0.8, 1, scope))
