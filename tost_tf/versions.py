"""The versions of the packages used in a run."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

import tost_tf

# Distribution -> the module in it.
PACKAGES = {
    "tensorflow": "tensorflow",
    "tf_keras": "tf_keras",
    "tensorflow-model-optimization": "tensorflow_model_optimization",
    "tensorflow-datasets": "tensorflow_datasets",
    "numpy": "numpy",
}


def versions() -> dict[str, str]:
    """Name -> version, of Python, this project (installed or not) and `PACKAGES`; "unknown" if there is none."""
    here = {"python": platform.python_version(), "tost_tf": tost_tf.__version__}
    return here | {name: _version(name, module) for name, module in PACKAGES.items()}


def _version(name: str, module: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # TensorFlow has other distributions too: tensorflow-cpu, tf-nightly, ...
        return getattr(sys.modules.get(module), "__version__", "unknown")
