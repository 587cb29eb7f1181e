import numpy as np
import pytest
from matplotlib import image

import tost_tf as tost
from tost_tf.errors import TostError
from tost_tf.report.block import _places, block_graph, draw_block


@pytest.fixture
def ghosted():
    model = tost.models.build("resnet18", (8, 8, 3), 10, 0.1)
    return tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=0.5)))


def test_graph_of_a_block_with_and_without_ghosts(ghosted):
    block = "stage2_block1_"
    plain, graph = block_graph(ghosted.plain, block), block_graph(ghosted.ghosted, block)
    assert plain[f"{block}conv1_pad"] == ["input"] and plain[f"{block}conv1"] == [f"{block}conv1_pad"]
    assert plain[f"{block}conv2"] == [f"{block}relu1"]
    assert plain[f"{block}add"] == [f"{block}bn2", f"{block}shortcut_bn"]
    assert graph[f"{block}conv1_ghost_skip"] == [f"{block}conv1_pad", f"{block}bn1"]
    assert graph[f"{block}relu1_ghost"] == [f"{block}conv1_ghost_skip"]
    assert set(graph) - set(plain) == {
        f"{block}{ghost}" for ghost in ("conv1_ghost_skip", "conv2_ghost_skip", "relu1_ghost", "relu2_ghost")
    }
    with pytest.raises(TostError, match="has no layer whose name starts with 'stage9'"):
        block_graph(ghosted.plain, "stage9")


def test_longest_path_is_the_first_column():
    graph = {"a": ["input"], "side": ["input"], "b": ["a"], "sum": ["b", "side"]}
    assert _places(graph) == {"input": (0, 0), "a": (0, 1), "side": (1, 1), "b": (0, 2), "sum": (0, 3)}


def test_picture_has_three_panels_and_ghosts_in_the_middle_one(ghosted, tmp_path):
    draw_block(ghosted, "stage2_block1_", tmp_path / "block.png")
    pixels = image.imread(tmp_path / "block.png")[..., :3]
    ghostly = np.all(np.abs(pixels - np.array([0xFD, 0xE0, 0xC5]) / 255) < 0.01, axis=-1)
    left, middle, right = (part.sum() for part in np.array_split(ghostly, 3, axis=1))
    assert middle > 1000 and left == right == 0


def test_a_run_is_a_fourth_panel(ghosted, tmp_path):
    rows = [{"epoch": 1, "val_accuracy": 0.3, "alpha": 0.7}, {"epoch": 2, "val_accuracy": 0.6, "alpha": 0}]
    draw_block(ghosted, "stage2_block1_", tmp_path / "block.png", rows)
    pixels = image.imread(tmp_path / "block.png")[..., :3]
    blue = np.all(np.abs(pixels - np.array([0x00, 0x72, 0xB2]) / 255) < 0.01, axis=-1)
    *blocks, run = (part.sum() for part in np.array_split(blue, 4, axis=1))
    assert run > 200 and not any(blocks)
