"""A run with a shared mask is the run that finds the mask itself."""

import numpy as np

from tests.experiment.commands.conftest import SMALL_RUN
from tost_tf.experiment.commands.command import run_command
from tost_tf.experiment.commands.mask import main
from tost_tf.experiment.flags import parse
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.stages.launch import launch
from tost_tf.experiment.sweep.give_mask import give_mask
from tost_tf.experiment.sweep.grid import Cell
from tost_tf.experiment.sweep.plan import plan
from tost_tf.files import read_object

TICKET = (
    *(flag for flag in SMALL_RUN if not flag.startswith(("--model", "--rescale"))),
    *("--model=resnet8", "--mask=lottery", "--lottery_epochs=2", "--lottery_fraction=0.6", "--rewind_epoch=1"),
    *("--recipe=default", "--epochs=2"),
)


def test_a_shared_ticket_gives_the_same_run(tmp_path):
    cells = [Cell({"recipe": name}, {}, (*TICKET, f"--label_smoothing={a}")) for name, a in (("a", 0.1), ("b", 0.2))]
    search, first, _ = plan(cells, (), str(tmp_path / "runs")).jobs
    assert run_command("tost-mask", main, search.arguments) == 0
    config = parse(first.arguments)
    give_mask(config, first.path, search.path)
    shared = RunDirectory(first.path)
    before = {path: path.stat().st_mtime_ns for path in (shared.mask, shared.ticket_weights, shared.mask_report)}
    give_mask(config, first.path, search.path)  # it has one already
    launch(config)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    launch(parse([*first.arguments[:-1], f"--run_dir={tmp_path / 'alone'}"]))
    alone = RunDirectory(tmp_path / "alone")
    for name in ("mask", "ticket_weights"):
        own, other = (dict(np.load(getattr(folder, name))) for folder in (shared, alone))
        assert own.keys() == other.keys() and all((own[key] == other[key]).all() for key in own)
    results = [read_object(folder.result) for folder in (shared, alone)]
    timed = ("train_seconds", "mask_seconds", "images_per_second")
    assert all(result["mask_seconds"] > 0 for result in results)
    assert len({str({name: result[name] for name in result if name not in timed}) for result in results}) == 1
