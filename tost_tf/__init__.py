"""Training sparse neural networks better with any mask (ToST), in Keras and TensorFlow.

The names below are imported at first use, so importing the package is fast.
"""

from __future__ import annotations

import importlib
from typing import Any

from tost_tf import serializable as _serializable

__version__ = "0.2.0"

_EXPORTED = {
    "GhostActivation": "tost_tf.ghost.activation",
    "GhostModel": "tost_tf.ghost.model",
    "GhostSchedule": "tost_tf.ghost.schedule",
    "GhostSkip": "tost_tf.ghost.skip",
    "LARS": "tost_tf.training.lars",
    "Masks": "tost_tf.masks.masks",
    "OrthogonalSGD": "tost_tf.training.orthogonal_sgd",
    "RunConfig": "tost_tf.experiment.options",
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

__all__ = [*_EXPORTED, *_PACKAGES]

_serializable.register()


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
