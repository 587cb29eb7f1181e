"""A run from a copy of the source that is not installed, as from a checkout with PYTHONPATH set."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import tost_tf as tost

# Imported by Python at its start: hides what pip knows of an installation in this environment.
NOT_INSTALLED = """
from importlib import metadata

found = metadata.Distribution.from_name.__func__

def from_name(cls, name):
    if name.replace("-", "_") == "tost_tf":
        raise metadata.PackageNotFoundError(name)
    return found(cls, name)

metadata.Distribution.from_name = classmethod(from_name)
"""


def test_a_complete_run_needs_no_installation(network, tmp_path):
    source = Path(tost.__file__).parent
    shutil.copytree(source, tmp_path / "checkout/tost_tf", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "checkout/sitecustomize.py").write_text(NOT_INSTALLED)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "checkout")}
    told = "import tost_tf; from importlib import metadata; print(tost_tf.__file__); metadata.version('tost_tf')"
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": False}
    here = subprocess.run([sys.executable, "-c", told], **options)
    assert str(tmp_path) in here.stdout and "PackageNotFoundError" in here.stderr
    flags = ["--dataset=digits", "--train_examples=40", "--batch_size=20", f"--model={network}"]
    flags += ["--sparsity=0.5", "--epochs=1", "--recipe=default", "--run_dir=run"]
    done = subprocess.run([sys.executable, "-m", "tost_tf", "train", *flags], **options)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["versions"]["tost_tf"] == tost.__version__
