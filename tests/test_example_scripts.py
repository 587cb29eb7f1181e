"""The scripts in `examples/` run, print all three networks, and write a sparse SavedModel."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.exhaustive import quick
from tost_tf.compat import tf

SCRIPTS = {
    "tabular_mlp": ([], 0.95, (30,), (2,)),
    "time_series_conv1d": (["--examples=80"], 0.97, (128, 1), (6,)),
    "segmentation_unet": (["--examples=40"], 0.9, (32, 32, 1), (32, 32, 1)),
}
FOLDER = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("name", quick(SCRIPTS, ("segmentation_unet",)))
def test_an_example_trains_strips_and_exports(name, tmp_path, monkeypatch, capsys):
    arguments, sparsity, taken, returned = SCRIPTS[name]
    script = str(FOLDER / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, "--epochs=2", f"--export={tmp_path / 'model'}", *arguments])
    runpy.run_path(script, run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    results = [re.fullmatch(r"(dense|default|ToST) +(\d+\.\d+)%", line) for line in lines]
    assert [match[1] for match in results if match] == ["dense", "default", "ToST"]
    exported = tf.saved_model.load(tmp_path / "model")
    serve = exported.signatures["serving_default"]
    (key,) = serve.structured_input_signature[1]
    outputs = serve(**{key: tf.zeros((3, *taken))})["logits"]
    assert outputs.shape == (3, *returned) and np.isfinite(outputs).all()
    kernels = [v.numpy() for v in serve.variables if v.shape.rank > 1 and "logits" not in v.name]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels) / sum(kernel.size for kernel in kernels)
    assert zeros == pytest.approx(sparsity, abs=0.002)


def test_every_script_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SCRIPTS)
