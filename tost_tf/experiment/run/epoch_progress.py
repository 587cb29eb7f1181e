"""How far into an epoch a run was when it was stopped."""

from __future__ import annotations

import dataclasses
import json

from tost_tf.compat import keras, tf
from tost_tf.ghost.model import GhostModel


@dataclasses.dataclass(frozen=True)
class EpochProgress:
    """What a checkpoint within an epoch holds beside the weights, so that the epoch ends as if never stopped.

    Attributes:
      step: steps of the epoch that are done.
      metrics: the state of the training metrics after them, a number for each of their variables.
      seconds: how long they took.
    """

    step: int
    metrics: tuple[float, ...]
    seconds: float

    @classmethod
    def of(cls, model: GhostModel, step: int, seconds: float) -> EpochProgress:
        """That of a model that is being fitted."""
        return cls(step, tuple(float(variable.numpy()) for variable in _metric_variables(model)), seconds)

    def put_into(self, model: GhostModel) -> None:
        """Sets the metrics of a compiled model to what they were."""
        if not model.metrics:  # Keras makes them at the first step only
            example = tf.zeros((1, model.view.output_shape[-1]))
            model.compiled_loss.build(example)
            model.compiled_metrics.build(example, example)
        for variable, value in zip(_metric_variables(model), self.metrics, strict=True):
            variable.assign(value)


class SavedProgress(tf.train.experimental.PythonState):
    """An `EpochProgress` in a TensorFlow checkpoint, as JSON, which keeps every bit of a number."""

    def __init__(self):
        super().__init__()
        self.value: EpochProgress | None = None

    def serialize(self) -> str:
        return json.dumps(dataclasses.asdict(self.value)) if self.value else ""

    def deserialize(self, string_value: bytes | str) -> None:
        fields = json.loads(string_value)
        self.value = EpochProgress(**(fields | {"metrics": tuple(fields["metrics"])}))


def _metric_variables(model: keras.Model) -> list[tf.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]
