"""Which network a run trains."""

from __future__ import annotations

import dataclasses

from tost_tf.models import MODEL_SUFFIXES
from tost_tf.options import option
from tost_tf.registry import MODELS


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network."""

    model: str = option(
        "resnet32",
        f"the network: {', '.join(MODELS)}; applications/NAME for one of keras.applications; or your .keras or .h5 "
        "file, trained from the weights in it",
    )
    width_multiplier: float = option(1.0, "factor of the number of channels", above=0, maximum=100)


def is_file(model: str) -> bool:
    """Whether the name of a network is the path of a file."""
    return model.endswith(MODEL_SUFFIXES)
