"""SIGTERM and Ctrl-C: a run that is asked to stop does so at a moment it can resume from."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, and did.

    Attributes:
      signal: SIGINT (Ctrl-C) or SIGTERM.
      where: after what, such as "step 3 of epoch 2", whose state is kept; empty if nothing was kept for it.
    """

    def __init__(self, number: int, where: str = ""):
        super().__init__(where)
        self.signal, self.where = signal.Signals(number), where

    @property
    def exit_code(self) -> int:
        """What a shell gives a process that ends by the signal: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal

    def __str__(self) -> str:
        after = f"stopped by {self.signal.name}" + (f" after {self.where}" if self.where else "")
        return f"{after}; the same command resumes from {'there' if self.where else 'the last checkpoint'}"


class StopSignals:
    """Turns the two signals into `Stopped`, raised at once, or while `noted` later by who asks for them.

    A context manager; at its end the signals do what they did before. In another thread than the main one, where
    Python allows no handlers, it does nothing.

    Attributes:
      requested: the signal that came, `None` as long as none has.
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
        """Takes the signals, again if a library has taken them since: TensorFlow's coordination service does."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.signal(number, self._receive)
            self._before.setdefault(number, signal.SIG_DFL if before is None else before)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """In this block the first signal is only noted in `requested`; a second one stops at once."""
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
        os.write(2, f"\n{signal.Signals(number).name}: stopping at the next step; once more stops at once\n".encode())
