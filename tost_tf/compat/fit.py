"""What `fit` does step by step."""

from __future__ import annotations

from tost_tf.compat import keras


def start_fit_at_step(model: keras.Model, step: int) -> None:
    """Makes the running `fit` start its first epoch at `step`, by the hook that Keras's BackupAndRestore uses."""

    def counters(steps_per_epoch: int, initial_epoch: int) -> tuple[int, int]:
        del model._maybe_load_initial_counters_from_ckpt  # the next `fit` starts at step 0 again
        return initial_epoch, step

    model._maybe_load_initial_counters_from_ckpt = counters


def steps_at_once(model: keras.Model) -> int:
    """How many steps `fit` makes between two calls of its callbacks: `steps_per_execution` of `compile`."""
    number = getattr(model, "_steps_per_execution", None)
    return 1 if number is None else int(number.numpy())


def own_steps(model: keras.Model) -> list[str]:
    """The methods for the steps of `fit`, `evaluate` and `predict` that the class of `model` overrides."""
    names = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")
    return [name for name in names if getattr(type(model), name) is not getattr(keras.Model, name)]
