import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np

import tost_tf as tost
from tost_tf.compat import tf
from tost_tf.versions import versions


def test_versions_are_those_installed():
    found = versions()
    assert list(found)[:3] == ["python", "tost_tf", "tensorflow"]
    assert found["tensorflow-model-optimization"] == metadata.version("tensorflow-model-optimization")
    assert found["numpy"] == np.__version__ and found["tost_tf"] == tost.__version__


def test_packages_without_metadata_are_not_an_error(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.delitem(sys.modules, "tensorflow_datasets", raising=False)
    found = versions()
    assert found["tost_tf"] == tost.__version__ and found["tensorflow"] == tf.__version__
    assert found["tensorflow-datasets"] == "unknown"


def test_the_package_and_its_metadata_have_one_version():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert project["version"] == tost.__version__
