"""`python -m tost_tf COMMAND ...`: runs the commands of the console scripts without installation."""

from __future__ import annotations

import importlib
import sys

from tost_tf.errors import unknown_name

COMMANDS = ("train", "mask", "analyze", "export", "sweep", "report")


def main() -> None:
    """Runs the command named by the first argument, with the other arguments."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        print(f"tost_tf: error: {unknown_name('command', name, COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    importlib.import_module(f"tost_tf.experiment.commands.{name}").run()


if __name__ == "__main__":
    main()
