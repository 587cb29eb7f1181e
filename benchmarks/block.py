"""Draws the picture of a block that README shows.

python benchmarks/block.py
"""

import tost_tf as tost
from tost_tf.report.block import draw_block

model = tost.models.build("resnet18", (32, 32, 3), 10)
ghosted = tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=0.95)))
draw_block(ghosted, "stage2_block1_", "docs/figures/block.png")
