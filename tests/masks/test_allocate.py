import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tost_tf.masks.allocate import erdos_renyi_kernel, kept_count, uniform

SHAPES = st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple), min_size=1, max_size=6).map(
    lambda shapes: {f"layer{number}": shape for number, shape in enumerate(shapes)}
)


def test_counts_are_rounded():
    assert kept_count(1000, 0.95) == 50
    assert kept_count(7, 0.7) == 2
    assert uniform({"a": (10, 3), "b": (7,)}, 0.7) == {"a": 9, "b": 2}


def test_erk_by_hand():
    # (sum of dimensions) / (their product): 12/32 for a, 16/64 for b. With ε: 32·ε·0.375 + 64·ε·0.25 = 28ε = 24.
    shapes = {"a": (4, 8), "b": (8, 8)}
    assert erdos_renyi_kernel(shapes, 0.75) == {"a": 10, "b": 14}  # 10.29 and 13.71


def test_erk_leaves_layers_dense_that_would_exceed_density_1():
    # c would have density 2.63: dense, and a and b share the 48 - 2 that are left: 46 / 28 · (12, 16).
    shapes = {"a": (4, 8), "b": (8, 8), "c": (1, 2)}
    assert erdos_renyi_kernel(shapes, 1 - 48 / 98) == {"a": 20, "b": 26, "c": 2}  # 19.71 and 26.29


@settings(deadline=None)
@given(SHAPES, st.floats(0, 0.999))
def test_erk_adds_up_exactly(shapes, sparsity):
    counts = erdos_renyi_kernel(shapes, sparsity)
    sizes = {path: int(np.prod(shape)) for path, shape in shapes.items()}
    assert sum(counts.values()) == kept_count(sum(sizes.values()), sparsity)
    assert all(0 <= counts[path] <= sizes[path] for path in shapes)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.98])
def test_erk_gives_the_smaller_of_similar_layers_the_higher_density(sparsity):
    counts = erdos_renyi_kernel({"small": (3, 3, 16, 16), "large": (3, 3, 64, 64)}, sparsity)
    assert counts["small"] / 2304 >= counts["large"] / 36864
