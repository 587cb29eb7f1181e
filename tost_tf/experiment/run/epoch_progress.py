"""How far into an epoch a run was when it was stopped."""

from __future__ import annotations

import dataclasses
import json

from tost_tf.compat import keras, tf
from tost_tf.ghost.model import GhostModel


@dataclasses.dataclass(frozen=True)
class EpochProgress:
    """What a checkpoint within an epoch holds besides the weights, so the epoch ends as if it had not been stopped.

    Attributes:
      step: the number of steps of the epoch that are done.
      metrics: the state of the training metrics after these steps, a number for each of their variables.
      seconds: the time these steps took.
    """

    step: int
    metrics: tuple[float, ...]
    seconds: float

    @classmethod
    def of(cls, model: GhostModel, step: int, seconds: float) -> EpochProgress:
        """The progress of a model that is being fitted."""
        return cls(step, tuple(float(variable.numpy()) for variable in _metric_variables(model)), seconds)

    def put_into(self, model: GhostModel) -> None:
        """Restores the metrics of a compiled model."""
        if not model.metrics:  # Keras creates them at the first step
            example = tf.zeros((1, model.view.output_shape[-1]))
            model.compiled_loss.build(example)
            model.compiled_metrics.build(example, example)
        for variable, value in zip(_metric_variables(model), self.metrics, strict=True):
            variable.assign(value)


class SavedProgress(tf.train.experimental.PythonState):
    """An `EpochProgress` in a TensorFlow checkpoint, as JSON, which keeps numbers exactly."""

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
