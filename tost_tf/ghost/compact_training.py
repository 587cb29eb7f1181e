"""The callback that leaves dead channels out of training."""

from __future__ import annotations

import logging

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.ghost.model import GhostModel


class CompactTraining(keras.callbacks.Callback):
    """Trains a `GhostModel` without the channels that its masks leave dead, from the first epoch without ghosts.

    Everything else goes on as if nothing had happened: the weights, the optimizer's state, checkpoints and what
    `strip` gives are those of the original architecture, and equal those of training with all channels up to rounding
    (see `TrainingView`). Some dead channels stay, since a CPU computes full blocks of channels faster. Place it after
    the `GhostSchedule`. Whether masks have changed is checked before each epoch.

    Args:
      verbose: 1 to print one line that says what is left out, 0 for silence.

    Raises:
      TostError: in `fit`: the model is no `GhostModel`, its masks change, or it cannot be trained without channels.

    Examples:
      >>> model = tost.GhostModel(tost.sparsify(model, sparsity=0.9), neurons="none", skips="none")
      >>> model.compile("sgd", loss)
      >>> history = model.fit(images, labels, verbose=0, callbacks=[tost.CompactTraining(verbose=0)])
    """

    def __init__(self, verbose: int = 1):
        super().__init__()
        self.verbose = verbose
        self._is_on = False

    def get_config(self) -> dict:
        """All arguments."""
        return {"verbose": self.verbose}

    def on_train_begin(self, logs: dict | None = None) -> None:
        if not isinstance(self.model, GhostModel):
            raise TostError(
                f"CompactTraining needs a GhostModel, which may have no ghosts, got {type(self.model).__name__}"
            )
        self._is_on = False

    def on_train_end(self, logs: dict | None = None) -> None:
        if self.model.ghosts_active:
            logging.warning(
                "CompactTraining has left no channel out: the ghosts of %s, which need all, were there until the end",
                self.model.name,
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self.model.ghosts_active:
            return
        if self._is_on:
            self.model.require_same_masks()
            return
        report = self.model.compact_training()
        self._is_on = True
        if self.verbose:
            print(f"training without dead channels: {report.summary()}", flush=True)
