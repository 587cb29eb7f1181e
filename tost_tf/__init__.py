"""Training sparse neural networks better with any mask (ToST), in Keras and TensorFlow.

The names below are imported at first use, so importing the package is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tost_tf import serializable as _serializable

if TYPE_CHECKING:  # for editors and type checkers, which do not see `__getattr__`'s names
    from tost_tf import analysis, export, masks, models
    from tost_tf import data as datasets
    from tost_tf.compaction.compact import compact
    from tost_tf.convert.from_keras3 import from_keras3
    from tost_tf.dynamic.callbacks import SET, GraNet, RigL
    from tost_tf.dynamic.sup_tickets import SupTickets
    from tost_tf.errors import TostError
    from tost_tf.experiment.options import RunConfig
    from tost_tf.experiment.stages.launch import launch
    from tost_tf.ghost.activation import GhostActivation
    from tost_tf.ghost.compact_training import CompactTraining
    from tost_tf.ghost.dyrelu import GhostDyReLU
    from tost_tf.ghost.model import GhostModel
    from tost_tf.ghost.schedule import GhostSchedule
    from tost_tf.ghost.skip import GhostSkip
    from tost_tf.masks.masks import Masks
    from tost_tf.masks.sparsify import sparsify, strip
    from tost_tf.registry import register
    from tost_tf.training.distiller import Distiller
    from tost_tf.training.lars import LARS
    from tost_tf.training.optimizer import CoupledSGD
    from tost_tf.training.orthogonal_sgd import OrthogonalSGD
    from tost_tf.training.rescale import rescale_init
    from tost_tf.training.weight_average import WeightAverage

__version__ = "0.2.0"

_EXPORTED = {
    "CompactTraining": "tost_tf.ghost.compact_training",
    "CoupledSGD": "tost_tf.training.optimizer",
    "Distiller": "tost_tf.training.distiller",
    "GhostActivation": "tost_tf.ghost.activation",
    "GhostDyReLU": "tost_tf.ghost.dyrelu",
    "GhostModel": "tost_tf.ghost.model",
    "GhostSchedule": "tost_tf.ghost.schedule",
    "GhostSkip": "tost_tf.ghost.skip",
    "GraNet": "tost_tf.dynamic.callbacks",
    "LARS": "tost_tf.training.lars",
    "Masks": "tost_tf.masks.masks",
    "OrthogonalSGD": "tost_tf.training.orthogonal_sgd",
    "RigL": "tost_tf.dynamic.callbacks",
    "RunConfig": "tost_tf.experiment.options",
    "SET": "tost_tf.dynamic.callbacks",
    "SupTickets": "tost_tf.dynamic.sup_tickets",
    "TostError": "tost_tf.errors",
    "WeightAverage": "tost_tf.training.weight_average",
    "compact": "tost_tf.compaction.compact",
    "from_keras3": "tost_tf.convert.from_keras3",
    "launch": "tost_tf.experiment.stages.launch",
    "register": "tost_tf.registry",
    "rescale_init": "tost_tf.training.rescale",
    "sparsify": "tost_tf.masks.sparsify",
    "strip": "tost_tf.masks.sparsify",
}
_PACKAGES = {
    "analysis": "tost_tf.analysis",
    "datasets": "tost_tf.data",
    "export": "tost_tf.export",
    "masks": "tost_tf.masks",
    "models": "tost_tf.models",
}

__all__ = [
    "LARS",
    "SET",
    "CompactTraining",
    "CoupledSGD",
    "Distiller",
    "GhostActivation",
    "GhostDyReLU",
    "GhostModel",
    "GhostSchedule",
    "GhostSkip",
    "GraNet",
    "Masks",
    "OrthogonalSGD",
    "RigL",
    "RunConfig",
    "SupTickets",
    "TostError",
    "WeightAverage",
    "analysis",
    "compact",
    "datasets",
    "export",
    "from_keras3",
    "launch",
    "masks",
    "models",
    "register",
    "rescale_init",
    "sparsify",
    "strip",
]
_serializable.register()


if not TYPE_CHECKING:  # else every name would seem to exist

    def __getattr__(name: str) -> Any:
        if name in _EXPORTED:
            value = getattr(importlib.import_module(_EXPORTED[name]), name)
        elif name in _PACKAGES:
            value = importlib.import_module(_PACKAGES[name])
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
