"""The processes that train one run together, one on each machine: who they are, and how they wait for each other."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from tost_tf.errors import TostError

POLL_SECONDS = 0.2
EXAMPLE = '{"cluster": {"worker": ["HOST0:12345", "HOST1:12345"]}, "task": {"type": "worker", "index": 0}}'

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Workers:
    """All workers of a run, and which of them this process is.

    Attributes:
      addresses: "host:port" of each worker, the chief's first; empty for a run of one process.
      index: the position of this process among them.
      timeout: seconds to wait for another worker.
    """

    addresses: tuple[str, ...] = ()
    index: int = 0
    timeout: float = 600.0

    @classmethod
    def of_environment(cls, timeout: float) -> Workers:
        """The workers that the environment variable `TF_CONFIG` names.

        Raises:
          TostError: it is not set, cannot be read, or does not say which of the workers this process is.
        """
        text = os.environ.get("TF_CONFIG", "")
        if not text:
            raise TostError(
                f"--distribution=multi_worker needs the environment variable TF_CONFIG in each process: {EXAMPLE}"
            )
        try:
            config = json.loads(text)
            addresses, task = tuple(map(str, config["cluster"]["worker"])), config["task"]
            kind, index = task["type"], int(task["index"])
        except (ValueError, TypeError, KeyError) as error:
            raise TostError(f"TF_CONFIG cannot be read ({error!r}), it is {text!r}: write it as {EXAMPLE}") from None
        if set(config["cluster"]) != {"worker"} or kind != "worker":
            raise TostError(f"TF_CONFIG has other tasks than workers, it is {text!r}: write it as {EXAMPLE}")
        if not 0 <= index < len(addresses):
            raise TostError(f"TF_CONFIG says this is worker {index}, but has {len(addresses)} workers, counted from 0")
        bad = [address for address in addresses if not re.fullmatch(r".+:\d+", address)]
        if bad or len(set(addresses)) < len(addresses):
            raise TostError(f"each worker in TF_CONFIG needs a different HOST:PORT, they are {', '.join(addresses)}")
        return cls(addresses, index, timeout)

    @property
    def several(self) -> bool:
        return len(self.addresses) > 1

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the run directory; a single process does."""
        return self.index == 0

    def name(self, index: int) -> str:
        """The name of a worker in messages."""
        return f"worker {index} ({self.addresses[index]})"

    def meet(self) -> None:
        """Waits until every worker has called this; TensorFlow would wait for a missing one for ever.

        Raises:
          TostError: the port of this worker is in use, or a worker did not answer before the time-out; it is named.
        """
        if not self.several:
            return
        deadline = time.monotonic() + self.timeout
        missing = [index for index in range(len(self.addresses)) if index != self.index]
        with self._listening():
            while missing:
                missing = [index for index in missing if not _answers(self.addresses[index])]
                if missing and time.monotonic() > deadline:
                    raise TostError(
                        f"{', '.join(map(self.name, missing))} did not answer for {self.timeout:g} seconds: launch the "
                        "same command in all workers, and read the output of that one (--worker_timeout sets the time)"
                    )
                if missing:
                    time.sleep(POLL_SECONDS)

    def wait_for(self, what: str, look: Callable[[], Value | None]) -> Value:
        """Waits for the chief to write something.

        Args:
          what: what it writes, for the message.
          look: returns it, or `None` (or `False`) while it is missing.

        Raises:
          TostError: it was still missing at the time-out.
        """
        deadline = time.monotonic() + self.timeout
        while not (found := look()):
            if time.monotonic() > deadline:
                raise TostError(
                    f"{self.name(0)} did not write {what} in {self.timeout:g} seconds: read its output; the run "
                    "directory must be on a disk all workers see, and --worker_timeout long enough"
                )
            time.sleep(POLL_SECONDS)
        return found

    def lost(self, message: str) -> str:
        """The lost workers: named in TensorFlow's message about a failed collective operation, or not answering."""
        named = (int(task) for task in re.findall(r"/job:worker(?:/replica:\d+)?/task:(\d+)", message))
        found = next((index for index in named if index != self.index and index < len(self.addresses)), None)
        if found is not None:
            return self.name(found)
        silent = [i for i, address in enumerate(self.addresses) if i != self.index and not _answers(address)]
        return ", ".join(map(self.name, silent)) or "another worker"

    def _listening(self) -> socket.socket:
        """Opens this worker's port; later TensorFlow opens it itself."""
        port = int(self.addresses[self.index].rpartition(":")[2])
        try:
            return socket.create_server(("", port), backlog=max(128, len(self.addresses)))
        except OSError as error:
            raise TostError(
                f"the port of {self.name(self.index)} cannot be opened: {error.strerror}; choose another in TF_CONFIG"
            ) from None


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False
