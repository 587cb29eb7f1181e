"""SIGTERM and Ctrl-C: a run stops at a step from which it can resume."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    handlers, it does nothing.

    Attributes:
      requested: the signal received, `None` if there was none.
    """

    def __init__(self):
        self.requested: int | None = None
        self._noted = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        self.listen()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Installs the handlers; again if a library replaced them, as TensorFlow's coordination service does."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.signal(number, self._receive)
            self._before.setdefault(number, signal.SIG_DFL if before is None else before)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """In this block the first signal is only stored in `requested`; a second one stops immediately."""
        self._noted = True
        try:
            yield
        finally:
            self._noted = False

    def _receive(self, number: int, _: FrameType | None) -> None:
        first, self.requested = self.requested is None, number
        if not (self._noted and first):
            raise Stopped(number)
        # No print: the signal may have come in the middle of one.
        os.write(
            2, f"\n{signal.Signals(number).name}: stopping at the next step; once more stops immediately\n".encode()
        )
