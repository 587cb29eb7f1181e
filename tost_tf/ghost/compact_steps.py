"""Whether steps are computed without dead channels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tost_tf.compaction.report import CompactionReport
from tost_tf.compaction.training_view import TrainingView
from tost_tf.compat import keras


class CompactSteps:
    """The smaller view that the steps of a model compute instead of its plain one, if any.

    An object that Keras does not look into: the view's layers belong to no model that is saved.
    """

    def __init__(self):
        self._view: TrainingView | None = None
        self._depth = 0

    def start(self, plain: keras.Model) -> CompactionReport:
        """Makes the view for the masks of `plain` as they are."""
        self._view = TrainingView(plain)
        return self._view.report

    def stop(self) -> bool:
        """Forgets the view. Returns whether there was one."""
        was_there, self._view = self._view is not None, None
        return was_there

    def require_same_masks(self) -> None:
        """Raises `TostError` if there is a view, and masks have changed since it was made."""
        if self._view is not None:
            self._view.require_same_masks()

    @contextlib.contextmanager
    def in_step(self) -> Iterator[None]:
        """The block is a step, which the view may compute."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    @property
    def of_step(self) -> TrainingView | None:
        """The view if a step is being computed, else `None`: all else sees the original architecture."""
        return self._view if self._depth else None
