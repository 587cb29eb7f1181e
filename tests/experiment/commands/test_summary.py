"""What is printed at the end of a run."""

import pytest

from tost_tf.data.options import DataConfig
from tost_tf.experiment.commands.summary import summary, underfitting
from tost_tf.experiment.run.folder import METRICS, RunDirectory

RESULT = {
    "test_accuracy": 0.912,
    "test_accuracy_last": 0.9,
    "best_epoch": 4,
    "sparsity": 0.8,
    "parameters": 1234,
    "nonzero_parameters": 321,
    "train_seconds": 36.2,
    "images_per_second": 510.4,
    "collapsed_layers": ["logits"],
}


def rows(alphas: list[float], betas: list[float]) -> list[dict[str, float]]:
    zeros = dict.fromkeys(METRICS, 0.0)
    pairs = enumerate(zip(alphas, betas, strict=True), start=1)
    return [zeros | {"epoch": n, "alpha": a, "beta": b, "val_accuracy": 0.9 + n / 100} for n, (a, b) in pairs]


def test_it_says_when_the_ghosts_ended_and_lists_every_figure(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.figures.mkdir()
    for name in ("scales", "learning_curves"):
        (directory.figures / f"{name}.png").touch()
    directory.write_metrics(rows([0.6, 0.2, 0, 0], [2, 9, float("inf"), float("inf")]))
    lines = summary(RESULT, directory, seconds=156.4).splitlines()
    assert "ghosts         until epoch 2: validation 92.0% with them, 93.0% an epoch later" in lines
    assert "training       36 s, 510 images per second; 3 min from launch to end" in lines
    assert "collapsed      no weight is left in logits" in lines
    first = lines.index(f"figures        {directory.figures}/learning_curves.png")
    assert lines[first + 1] == f"               {directory.figures}/scales.png"


def test_of_ghosts_that_were_not_there_or_are_kept_nothing_is_said(tmp_path):
    directory, never = RunDirectory(tmp_path), float("inf")
    for alphas, betas in (([0, 0], [never, never]), ([1, 1], [2, 2])):
        directory.write_metrics(rows(alphas, betas))
        text = summary(RESULT, directory)
        assert "ghosts   " not in text and "from launch" not in text


def test_network_that_is_cut_is_named(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.write_metrics(rows([0, 0], [float("inf")] * 2))
    for depends, count in ((True, 0), (False, 1)):
        text = summary(RESULT | {"logits_depend_on_input": depends}, directory)
        assert text.count("disconnected   no path of kept weights leads from the input to the logits") == count


@pytest.mark.parametrize(
    ("accuracy", "options", "count"),
    [
        (0.61, {"augment": True}, 1),
        (0.61, {"augment": True, "crop_padding": 2}, 1),
        (0.61, {"augment": True, "crop_padding": 0}, 0),
        (0.61, {"augment": False}, 0),
        (0.66, {"augment": True}, 0),
    ],
)
def test_a_network_that_does_not_fit_cropped_images_may_do_better_without_crops(accuracy, options, count):
    earlier, last = {"accuracy": 0.4, "val_accuracy": 0.5}, {"accuracy": accuracy, "val_accuracy": 0.643}
    text = underfitting([earlier, last], DataConfig(**options))
    sentence = "The training accuracy, 61.0%, is below that of validation, 64.3%"
    assert text.count(sentence) == text.count("--crop_padding=0") == count == bool(text)
    assert underfitting([], DataConfig(augment=True)) == ""
