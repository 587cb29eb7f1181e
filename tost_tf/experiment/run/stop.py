"""SIGTERM and Ctrl-C: a run stops at a step from which it can resume."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_AFTER = 0.02  # seconds until a signal that was lost is sent again


class Stopped(KeyboardInterrupt):
    """The run was stopped by a signal.

    Attributes:
      signal: SIGINT (Ctrl-C) or SIGTERM.
      where: the last step or epoch whose state is saved, such as "step 3 of epoch 2"; empty if nothing was saved.
    """

    def __init__(self, number: int, where: str = ""):
        super().__init__(where)
        self.signal, self.where = signal.Signals(number), where

    @property
    def exit_code(self) -> int:
        """The exit code a shell reports for a process ended by the signal: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal

    def __str__(self) -> str:
        after = f"stopped by {self.signal.name}" + (f" after {self.where}" if self.where else "")
        return f"{after}; the same command resumes from {'there' if self.where else 'the last checkpoint'}"


class StopSignals:
    """Turns the two signals into `Stopped`, raised immediately; inside `noted` the first is only stored in `requested`.

    A context manager; at its end the signals do what they did before. Outside the main thread, where Python allows no
    handlers, it does nothing. Python swallows what is raised in a callback of a weak reference or in `__del__`: a
    signal that is lost there comes again a moment later.

    Attributes:
      requested: the signal received, `None` if there was none.
    """

    def __init__(self):
        self.requested: int | None = None
        self._noted = False
        self._before: dict[int, object] = {}
        self._earlier: int | None = None  # what `requested` was before the last signal
        self._hook_before: Callable[[Any], object] | None = None

    def __enter__(self) -> StopSignals:
        self.listen()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._hook_before is not None:
            sys.unraisablehook, self._hook_before = self._hook_before, None

    def listen(self) -> None:
        """Installs the handlers; again if a library replaced them, as TensorFlow's coordination service does."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.signal(number, self._receive)
            self._before.setdefault(number, signal.SIG_DFL if before is None else before)
        if self._hook_before is None:
            self._hook_before, sys.unraisablehook = sys.unraisablehook, self._swallowed

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """In this block the first signal is only stored in `requested`; a second one stops immediately."""
        self._noted = True
        try:
            yield
        finally:
            self._noted = False

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._earlier, first, self.requested = self.requested, self.requested is None, number
        if not (self._noted and first):
            raise Stopped(number)
        # No print: the signal may have come in the middle of one.
        os.write(
            2, f"\n{signal.Signals(number).name}: stopping at the next step; once more stops immediately\n".encode()
        )

    def _swallowed(self, unraisable: Any) -> None:
        """Sends the signal of a `Stopped` again that Python would only have printed; all else goes where it went."""
        if not isinstance(unraisable.exc_value, Stopped):
            self._hook_before(unraisable)
            return
        self.requested = self._earlier
        # By a timer: sent from here, it would be raised in this function, and swallowed like the first.
        again = threading.Timer(AGAIN_AFTER, os.kill, (os.getpid(), unraisable.exc_value.signal))
        again.daemon = True
        again.start()
