"""Folders as runs leave them, written without training anything."""

import json
from pathlib import Path

from tost_tf.experiment.flags import to_flagfile
from tost_tf.experiment.options import RunConfig

COLUMNS = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,alpha,beta,sparsity,seconds"


def write_run(folder: Path, accuracy: float | None, **options: object) -> Path:
    """A finished run with this test accuracy, an unfinished one for `None`; two epochs of it have a learning curve."""
    config = RunConfig.make(**{"dataset": "digits", "model": "resnet8", "run_dir": str(folder)} | options)
    folder.mkdir(parents=True)
    (folder / "config.flags").write_text(to_flagfile(config))
    rows = [f"{epoch},2.0,0.3,2.1,{0.1 * epoch:g},0.1,0,0,0.9,1.5" for epoch in (1, 2)]
    (folder / "metrics.csv").write_text("\n".join([COLUMNS, *rows, ""]))
    if accuracy is not None:
        (folder / "result.json").write_text(json.dumps(result_of(config, accuracy)))
    return folder


def result_of(config: RunConfig, accuracy: float) -> dict:
    return {
        "test_accuracy": accuracy,
        "test_accuracy_last": accuracy - 0.01,
        "sparsity": 0.8931,
        "layer_sparsity": {"conv/kernel": 0.75, "logits/kernel": 0.0},
        "nonzero_parameters": 1234,
        "recipe": config.recipe_label,
        "seed": config.training.seed,
        "train_seconds": 3.21,
        "collapsed_layers": ["a", "b"],
        "versions": {"tost_tf": "0.2.0"},
    }
