"""A copy of the source that is not installed, as a checkout with PYTHONPATH set."""

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


def test_nothing_of_an_installation_is_needed(tmp_path):
    source = Path(tost.__file__).parent
    shutil.copytree(source, tmp_path / "checkout/tost_tf", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "checkout/sitecustomize.py").write_text(NOT_INSTALLED)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "checkout")}

    def python(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    hidden = python("-c", "import tost_tf; from importlib import metadata; metadata.version('tost_tf')")
    assert "PackageNotFoundError" in hidden.stderr
    # What of a run needs metadata: the versions in its result.
    found = python("-c", "import tost_tf, tost_tf.versions as v; print(tost_tf.__file__, v.versions()['tost_tf'])")
    assert found.stdout.split() == [str(tmp_path / "checkout/tost_tf/__init__.py"), tost.__version__], found.stderr
    helped = python("-m", "tost_tf", "train", "--help")
    assert helped.returncode == 0 and "usage: tost-train" in helped.stdout
