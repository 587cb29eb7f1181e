"""What files of Keras may hold of this package, known to Keras by name as soon as `tost_tf` is imported.

Keras looks a class up among its custom objects. To put the classes there would import TensorFlow; so stand-ins are
there that import the class when a file asks for it. They come when Keras itself is imported.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
import types
from collections.abc import Mapping
from typing import Any

from tost_tf.compat import keras

PACKAGE = "tost_tf"
CLASSES: Mapping[str, str] = {
    "AdamW": "tost_tf.training.adamw",
    "BeforeActivation": "tost_tf.ghost.before_activation",
    "CoupledSGD": "tost_tf.training.optimizer",
    "Dirac": "tost_tf.ghost.dirac",
    "Distillation": "tost_tf.training.losses",
    "FixedMask": "tost_tf.masks.wrapper",
    "GhostActivation": "tost_tf.ghost.activation",
    "GhostBranches": "tost_tf.ghost.branches",
    "GhostDyReLU": "tost_tf.ghost.dyrelu",
    "GhostModel": "tost_tf.ghost.model",
    "GhostSkip": "tost_tf.ghost.skip",
    "HAM": "tost_tf.training.ham",
    "LARS": "tost_tf.training.lars",
    "OrthogonalSGD": "tost_tf.training.orthogonal_sgd",
    "S2SAM": "tost_tf.training.s2_sam",
    "SignIn": "tost_tf.training.sign_in",
    "SparseOpt": "tost_tf.training.sparse_opt",
}
# In an HDF5 file the class of the model itself has its bare name.
MODELS = ("GhostModel",)


class StandIn:
    """Has the class made from a config that Keras has found in a file.

    Args:
      name: of the class, in `CLASSES`.
    """

    def __init__(self, name: str):
        self._name = name

    def from_config(self, config: Mapping[str, Any]) -> Any:
        """An object of the class."""
        return getattr(importlib.import_module(CLASSES[self._name]), self._name).from_config(config)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Has the stand-ins put in place at the end of the import of tf_keras."""

    _asked = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "tf_keras" or self._asked:
            return None
        self._asked = True
        spec = importlib.util.find_spec(name)
        self._asked = False  # TensorFlow asks first whether there is a tf_keras
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: types.ModuleType) -> None:
                execute(module)
                sys.meta_path.remove(self)
                _put_in_place()

            spec.loader.exec_module = execute_and_register
        return spec


def register() -> None:
    """Makes the classes known to tf_keras, now or when it is imported."""
    if "tf_keras" in sys.modules:
        _put_in_place()
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _put_in_place() -> None:
    known = keras.utils.get_custom_objects()
    for name in CLASSES:
        known.setdefault(f"{PACKAGE}>{name}", StandIn(name))
    for name in MODELS:
        known.setdefault(name, StandIn(name))
