"""How patterns divide kernels, by hand."""

import numpy as np
import pytest

from tost_tf.errors import TostError
from tost_tf.masks.patterns.division import channels_of
from tost_tf.masks.patterns.pattern import ORDINARY, parsed_pattern

# [window 1, inputs 4, outputs 2]
KERNEL = np.array([[[[1, 10], [2, 20], [3, 30], [4, 40]]]])


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("unstructured", [[[1], [10], [2], [20], [3], [30], [4], [40]]]),
        ("block:2x1", [[[1, 2], [10, 20], [3, 4], [30, 40]]]),
        ("block:1x2", [[[1, 10], [2, 20], [3, 30], [4, 40]]]),
        ("block:2x2", [[[1, 10, 2, 20], [3, 30, 4, 40]]]),
        ("1:2", [[[1], [2]], [[10], [20]], [[3], [4]], [[30], [40]]]),
        ("fan_in", [[[1], [2], [3], [4]], [[10], [20], [30], [40]]]),
    ],
)
def test_cells_units_and_weights(text, groups):
    division = parsed_pattern(text).divide(KERNEL.shape, ORDINARY)
    assert division.grouped(KERNEL).tolist() == groups
    np.testing.assert_array_equal(division.ungrouped(division.grouped(KERNEL)), KERNEL)
    assert division.summed(KERNEL).tolist() == [[sum(unit) for unit in cell] for cell in groups]


@pytest.mark.parametrize("text", ["unstructured", "block:3x2", "1:3", "fan_in"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 5, 4, 3), ((-1,), (-2,))),  # a transposed convolution
        ((3, 2, 6), ((-3,), (-2, -1))),  # attention: inputs, heads and their sizes
        ((2, 3, 4), ((-3, -2), (-1,))),  # its last layer: two axes of inputs
    ],
)
def test_kernels_with_other_axes(text, shape, axes):
    kernel = np.random.default_rng(4).random(shape)
    division = parsed_pattern(text).divide(shape, axes)
    np.testing.assert_array_equal(division.ungrouped(division.grouped(kernel)), kernel)
    if text == "fan_in":
        outputs = np.prod([shape[axis] for axis in axes[1]])
        assert division.sizes == (outputs, kernel.size // outputs, 1)


def test_an_output_of_a_depthwise_kernel_reads_one_input():
    channels = channels_of((3, 3, 5, 2), ((-2,), (-2, -1)))
    assert channels.sizes == (9, 1, 10)
    assert parsed_pattern("fan_in").divide((3, 3, 5, 2), ((-2,), (-2, -1))).sizes == (10, 9, 1)
    assert parsed_pattern("2:4").divide((3, 3, 8, 1), ((-2,), (-2, -1))) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2:2", "'2:2' keeps N of M: N must be at least 1 and below M"),
        ("0:4", "N must be at least 1"),
        ("block:4", "'block:4' is not block:AxB, such as block:4x1"),
        ("block:0x4", "is not block:AxB"),
        ("channels:0", "'channels:0' is not channels:M, such as channels:16"),
        ("channels:4x4", "is not channels:M"),
        ("filters", "unknown mask pattern 'filters': known ones are unstructured, fan_in, N:M, block:AxB, channels"),
        (7, "unknown mask pattern '7'"),
    ],
)
def test_texts_that_are_no_pattern(text, message):
    with pytest.raises(TostError, match=message):
        parsed_pattern(text)


@pytest.mark.parametrize("text", ["unstructured", "channels", "block:4x2", "3:8", "fan_in"])
def test_text_is_what_it_was_parsed_from(text):
    assert parsed_pattern(text).text == text and parsed_pattern(parsed_pattern(text)).text == text


def test_on_the_way_to_n_of_m_more_are_kept():
    pattern = parsed_pattern("2:8")
    assert [pattern.at(sparsity).text for sparsity in (0.0, 0.3, 0.5, 0.8, 0.9)] == ["7:8", "6:8", "4:8", "2:8", "2:8"]
    assert parsed_pattern("fan_in").at(0.3) == parsed_pattern("fan_in")
