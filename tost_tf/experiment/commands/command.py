"""What all commands have in common: `--help`, and errors in one sentence."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence

from tost_tf.errors import TostError
from tost_tf.experiment.run.stop import Stopped, StopSignals


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether `--help`, or another spelling of it, is among the arguments."""
    return not {"--help", "-help", "-h", "--helpfull", "--helpshort"}.isdisjoint(arguments)


def run_command(name: str, main: Callable[[Sequence[str]], None], arguments: Sequence[str] | None = None) -> int:
    """Runs `main` on the arguments of the command line and returns the exit code.

    For a `TostError`, or a file that cannot be read or written, only a sentence is printed, with exit code 2; Ctrl-C
    gives 130 and SIGTERM 143.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show × must not end a run
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format=f"{name}: %(levelname)s: %(message)s")
    try:
        with StopSignals():
            main(sys.argv[1:] if arguments is None else arguments)
    except TostError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:  # not of a file
            raise
        print(f"{name}: error: {error.filename!r}: {error.strerror or error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"\n{name}: {stopped}", file=sys.stderr)
        return stopped.exit_code
    return 0
