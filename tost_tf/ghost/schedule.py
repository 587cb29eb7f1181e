"""The callback that fades the ghosts out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.fit import steps_at_once
from tost_tf.errors import TostError
from tost_tf.ghost.kinds import Kind, config_of, function_of
from tost_tf.ghost.model import GhostModel
from tost_tf.ghost.neuron_layer import GhostNeuron
from tost_tf.ghost.skip import GhostSkip
from tost_tf.ranges import require_number
from tost_tf.registry import BETA_SCHEDULES, GHOST_SCHEDULES
from tost_tf.steps import StepCallback


class GhostSchedule(StepCallback):
    """Sets α (1 to 0) and β (`beta_start` to `beta_end`) before every step, and removes the ghosts at the end.

    Works on all `GhostActivation`, `GhostDyReLU` and `GhostSkip` layers in the model, also those added by hand. Step s
    of the T = `end_epoch` * `steps_per_epoch` steps of the ghost phase has progress s / T. Before step T, α becomes
    exactly 0 and β exactly `beta_end`, and a `GhostModel` merges its branches and switches to its plain view. The
    values depend only on the number of the step, so a resumed `fit(initial_epoch=...)` continues with the right values.
    `alpha` and `beta` of an epoch's last step are added to the logs; without ghosts they are 0 and infinity, the values
    of a ReLU.

    Args:
      end_epoch: the first epoch (from 0) without ghosts, at least 1; -1 keeps them in their initial state to the end.
      steps_per_epoch: steps in an epoch; by default what `fit` knows of its data.
      schedule: "linear", "delayed", "cosine", "exponential", "constant", a registered one, or a function from the
        progress in [0, 1] to the fraction that is left.
      beta_start: the initial β, at least 0.
      beta_end: β when the ghosts are removed, above 0.
      beta_schedule: "linear", "inverse", "logarithmic" or a registered one: how β follows the fraction of the ghosts.

    Raises:
      TostError: a value is out of range, or there is no such schedule.

    Examples:
      >>> ghosted = tost.GhostModel(tost.sparsify(model, sparsity=0.9))
      >>> ghosted.compile("sgd", loss)
      >>> schedule = tost.GhostSchedule(end_epoch=2, schedule="cosine")
      >>> history = ghosted.fit(images, labels, epochs=3, verbose=0, callbacks=[schedule])
    """

    def __init__(
        self,
        end_epoch: int,
        steps_per_epoch: int | None = None,
        schedule: Kind = "linear",
        beta_start: float = 1.0,
        beta_end: float = 20.0,
        beta_schedule: str = "linear",
    ):
        super().__init__(steps_per_epoch)
        if isinstance(end_epoch, bool) or not isinstance(end_epoch, int | np.integer):
            raise TostError(
                f"end_epoch is a whole number of epochs, or -1, got {type(end_epoch).__name__} {end_epoch!r}"
            )
        if end_epoch < 1 and end_epoch != -1:
            raise TostError(f"end_epoch is {end_epoch}, it must be at least 1, or -1 to keep the ghosts")
        require_number("beta_start", beta_start, minimum=0)
        require_number("beta_end", beta_end, above=0)
        if beta_schedule != "linear" and min(beta_start, beta_end) <= 0:
            raise TostError(f"beta_schedule={beta_schedule!r} needs beta_start and beta_end above 0")
        self.fraction_left, self.beta_at = function_of(GHOST_SCHEDULES, schedule), BETA_SCHEDULES[beta_schedule]
        self.end_epoch, self.schedule = end_epoch, schedule if isinstance(schedule, str) else self.fraction_left
        self.beta_schedule = beta_schedule
        self.beta_start, self.beta_end = float(beta_start), float(beta_end)
        self._assign: Callable[..., None] | None = None
        self._assigned: tuple[float, float, int] | None = None
        self._was_over: bool | None = None
        self._last_batch = -1  # of the epoch, at its beginning
        self._has_warned = False
        self._draws = False  # whether a gate draws anew at each step

    def get_config(self) -> dict:
        """All arguments."""
        names = ("end_epoch", "beta_start", "beta_end", "beta_schedule")
        own = {name: getattr(self, name) for name in names}
        return own | {"steps_per_epoch": self.given_steps, "schedule": config_of(self.schedule)}

    def values(self, step: int) -> tuple[float, float]:
        """α and β for step `step`, counted from 0 over all epochs."""
        if self.end_epoch == -1:
            return 1.0, self.beta_start
        progress = min(1.0, step / (self.end_epoch * self.step(0).steps_per_epoch))
        if progress == 0:
            return 1.0, self.beta_start
        if progress == 1:
            return 0.0, self.beta_end
        fraction = self.fraction_left(progress)
        if not 0 <= fraction <= 1:
            raise TostError(
                f"the schedule of the ghosts gives {fraction} at progress {progress:.3g}, it must be in [0, 1]"
            )
        return fraction, self.beta_at(self.beta_start, self.beta_end, fraction)

    fades_ghosts = True  # for `GhostModel.fit`

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        skips = [layer for layer in model.submodules if isinstance(layer, GhostSkip)]
        neurons = [layer for layer in model.submodules if isinstance(layer, GhostNeuron)]
        alphas = [layer.alpha for layer in skips] + [layer.alpha for layer in neurons if layer.alpha is not None]
        steps = [layer.step for layer in skips if layer.step is not None]
        betas = [layer.beta for layer in neurons if layer.beta is not None]

        @tf.function(reduce_retracing=True)
        def assign(alpha: tf.Tensor, beta: tf.Tensor, step: tf.Tensor) -> None:
            for variable in alphas:
                variable.assign(tf.cast(alpha, variable.dtype))
            for variable in betas:
                variable.assign(tf.cast(beta, variable.dtype))
            for variable in steps:
                variable.assign(tf.cast(step, variable.dtype))

        self._assign = assign if alphas or betas else None
        self._assigned, self._draws = None, bool(steps)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._last_batch = -1
        self._was_over = None  # weights restored since then may have brought another view with them
        self._set(self.step(0).number)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self._set(self.step(batch).number)
        self._last_batch = batch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None:
            gone = self._assign is None or self._is_over(self.step(0).number)
            last = self.step(self.step(0).steps_per_epoch - 1)
            if not gone and not self._has_expected_steps():
                last = self.step(max(0, self._last_batch))
            logs["alpha"], logs["beta"] = (0.0, math.inf) if gone else self.values(last.number)

    def _has_expected_steps(self) -> bool:
        """Whether the epoch had as many steps as ghosts fade by; if not, a warning is logged once."""
        expected, at_once = self.step(0).steps_per_epoch, steps_at_once(self.model)
        if self._last_batch < expected <= self._last_batch + at_once:
            return True
        if not self._has_warned:
            self._has_warned = True
            logging.warning(
                "the ghosts fade by %d steps in an epoch (steps_per_epoch), and this epoch had %d: they will end at "
                "another epoch than end_epoch=%d",
                expected,
                self._last_batch + 1,
                self.end_epoch,
            )
        return False

    def _is_over(self, step: int) -> bool:
        return self.end_epoch != -1 and step >= self.end_epoch * self.step(0).steps_per_epoch

    def _set(self, step: int) -> None:
        over = self._is_over(step)
        values = (*self.values(step), step if self._draws else 0)
        if self._assign is not None and values != self._assigned:
            self._assign(*map(tf.constant, values))
            self._assigned = values
        # Not at every step: the model reads its switch from the device, which would have to finish all steps before.
        if isinstance(self.model, GhostModel) and over != self._was_over:
            self._was_over = over
            if over:
                self.model.remove_ghosts()
            else:
                if self.model.ghosts and not self.model.ghosts_active:
                    logging.warning(
                        "the ghosts of %s had ended, and start anew with this call of fit: to go on after epoch N, "
                        "give it initial_epoch=N",
                        self.model.name,
                    )
                self.model.restore_ghosts()
