"""Draws the picture that README shows: a block before, with and after ghosts, and the curve of a run.

    python benchmarks/block.py

The run is the quickstart's: benchmarks/results/quickstart_metrics.csv is the metrics.csv of
`tost-train --flagfile=flags/quickstart.flags`.
"""

import csv
from pathlib import Path

import tost_tf as tost
from tost_tf.report.block import draw_block

with Path("benchmarks/results/quickstart_metrics.csv").open() as file:
    rows = [{name: float(row[name]) for name in ("epoch", "val_accuracy", "alpha")} for row in csv.DictReader(file)]
model = tost.models.build("resnet18", (32, 32, 3), 10)
ghosted = tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=0.95)))
draw_block(ghosted, "stage2_block1_", "docs/figures/block.png", rows)
