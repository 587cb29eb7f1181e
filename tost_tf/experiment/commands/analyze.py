"""`tost-analyze`: the paper's analyses of a trained run, as numbers and figures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tost_tf.errors import TostError, unknown_name
from tost_tf.experiment import flags
from tost_tf.experiment.analyze_options import AnalyzeOptions
from tost_tf.experiment.commands.command import asks_for_help, run_command
from tost_tf.files import require_writable
from tost_tf.registry import ANALYSES

SUMMARY = "Analyses a trained run (activations, Hessian, loss landscape, mask, ...), or compares several runs."


def main(arguments: Sequence[str]) -> None:
    """Runs the command. The arguments are checked before TensorFlow is imported."""
    if asks_for_help(arguments):
        print(flags.own_help_text("tost-analyze", SUMMARY, AnalyzeOptions))
        return
    options, more_runs = flags.parse_own(arguments, AnalyzeOptions)
    runs = _runs(options, more_runs)
    names = _names(options.what)
    for run in runs:
        require_writable(Path(run) / "analysis", f"the analyses of {run!r}")
    out = Path(options.out or "runs/compare_" + "_".join(Path(run).name for run in runs))
    if options.compare:
        require_writable(out, f"--out={options.out!r}" if options.out else "the comparison")

    from tost_tf.drawing import require_drawing
    from tost_tf.experiment.stages.analyze import analyze, compare, recorded

    require_drawing()
    if options.what == "all":
        names = tuple(n for n in names if ANALYSES[n].compute is not None or all(recorded(run, n) for run in runs))
    if options.compare:
        compare(runs, names, options, out)
    else:
        out = Path(options.run_dir) / "analysis"
        analyze(options.run_dir, names, options)
    print("\n".join(f"{name:14} {out / name}.png" for name in names))
    print(f"numbers        {', '.join(str(Path(run) / 'analysis') for run in runs)} (.json and .csv)")


def _runs(options: AnalyzeOptions, more: list[str]) -> tuple[str, ...]:
    """The folders of the runs: one from --run_dir, or several from --compare."""
    if bool(options.run_dir) == bool(options.compare):
        raise TostError("give either --run_dir=RUN, or --compare RUN_A RUN_B")
    runs = (*options.compare.split(","), *more) if options.compare else (options.run_dir,)
    if not options.compare and more:
        raise TostError(f"{more[0]!r} is not a flag: flags are written --name=value")
    if options.out and not options.compare:
        raise TostError(
            f"--out={options.out!r} is for a comparison (--compare): the analyses of one run go into its own folder"
        )
    if options.compare and len(runs) < 2:
        raise TostError(f"--compare {runs[0]} needs another run to compare it with")
    for run in runs:
        if not (Path(run) / "config.flags").is_file():
            raise TostError(f"{run!r} is not a run folder: it has no config.flags")
    return runs


def _names(what: str) -> tuple[str, ...]:
    names = tuple(ANALYSES) if what == "all" else tuple(what.split(","))
    for name in names:
        if name not in tuple(ANALYSES):
            raise unknown_name("--what", name, tuple(ANALYSES))
    return names


def run() -> None:
    """The console script."""
    sys.exit(run_command("tost-analyze", main))


if __name__ == "__main__":
    run()
