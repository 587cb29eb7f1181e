"""`tost-export`: a trained run as SavedModel, TensorFlow Lite and Keras 3 files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tost_tf.errors import TostError
from tost_tf.experiment import flags
from tost_tf.experiment.commands.command import asks_for_help, run_command
from tost_tf.experiment.export_options import ExportOptions
from tost_tf.files import require_writable

SUMMARY = "Exports a trained run in several formats and checks each file in a fresh process on the whole test set."


def main(arguments: Sequence[str]) -> None:
    """Runs the command. The arguments are checked before TensorFlow is imported."""
    if asks_for_help(arguments):
        print(flags.own_help_text("tost-export", SUMMARY, ExportOptions))
        return
    options, rest = flags.parse_own(arguments, ExportOptions)
    if rest:
        raise TostError(f"{rest[0]!r} is not a flag: flags are written --name=value")
    options.names()
    if not options.run_dir:
        raise TostError("no run is given: name its folder by --run_dir=RUN")
    if not (Path(options.run_dir) / "config.flags").is_file():
        raise TostError(f"--run_dir={options.run_dir!r} is not a run folder: it has no config.flags")
    require_writable(options.folder(options.run_dir), f"--out={options.out!r}" if options.out else "the export")

    from tost_tf.experiment.stages.export_run import export_run

    export_run(options.run_dir, options)
    print(f"manifest         {options.folder(options.run_dir) / 'manifest.json'}")


def run() -> None:
    """The console script."""
    sys.exit(run_command("tost-export", main))


if __name__ == "__main__":
    run()
