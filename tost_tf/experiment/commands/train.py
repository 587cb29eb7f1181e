"""`tost-train`: trains a sparse network and exports it."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence

from tost_tf.errors import NoEffect, TostError
from tost_tf.experiment import flags
from tost_tf.experiment.commands.command import asks_for_help, run_command
from tost_tf.experiment.options import RunConfig

SUMMARY = "Trains a sparse network with the ToST recipe and a fixed or changing mask, and exports it as a SavedModel."


def main(arguments: Sequence[str]) -> None:
    """Runs the command. The arguments are checked before TensorFlow is imported."""
    if asks_for_help(arguments):
        print(flags.help_text("tost-train", SUMMARY))
        return
    config = flags.parse(arguments)
    print(f"run directory: {config.machine.run_dir}", flush=True)

    from tost_tf.experiment.commands.summary import summary, underfitting
    from tost_tf.experiment.run.folder import RunDirectory
    from tost_tf.experiment.stages.launch import launch

    directory = RunDirectory(config.machine.run_dir)
    start, was_finished = time.perf_counter(), directory.result.exists()
    result = launch(config)
    print(summary(result, directory, None if was_finished else time.perf_counter() - start))
    print(underfitting(directory.read_metrics(), config.data), end="")
    _suggest(config, arguments)


def _suggest(config: RunConfig, arguments: Sequence[str]) -> None:
    """Prints the command that trains the same network with the other recipe, if there is one."""
    other = "default" if config.recipe_name == "tost" else "tost"
    kept = [argument for argument in arguments if not argument.startswith(("--recipe=", "--run_dir="))]
    options = _with_effect([*kept, f"--recipe={other}", f"--run_dir={config.machine.run_dir}_{other}"])
    if options:
        print(f"\nnext: compare with the {other} recipe:\n  {shlex.join(['tost-train', *options])}")


def _with_effect(options: list[str]) -> list[str]:
    """The options without those that have no effect with the others; empty if anything else is wrong."""
    try:
        flags.parse(options)
    except NoEffect as error:
        spellings = (f"--{error.option}", f"--no{error.option}")
        fewer = [option for option in options if option.partition("=")[0] not in spellings]
        return _with_effect(fewer) if len(fewer) < len(options) else []
    except TostError:
        return []
    return options


def run() -> None:
    """The console script."""
    sys.exit(run_command("tost-train", main))


if __name__ == "__main__":
    run()
