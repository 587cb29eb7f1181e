"""README's Python is run as it stands, with fewer steps and a small dataset."""

import contextlib
import json
import re
from pathlib import Path

import numpy as np

from tost_tf.compat import tf
from tost_tf.registry import GHOST_NEURONS, GHOST_SKIPS

README = Path("README.md").read_text()


PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, loop, home, keras3, load, _ = PYTHON
    for text, small in (
        ('"resnet20"', '"resnet8"'),
        ("(32, 32, 3)", "(8, 8, 3)"),
        ("steps=180", "steps=1"),
        ("epochs=20", "epochs=2"),
        ("end_epoch=10", "end_epoch=1"),
    ):
        assert text in train
        train = train.replace(text, small)
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    names = {"dataset": tf.data.Dataset.from_tensor_slices((images, np.eye(10, dtype=np.float32)[:8])).batch(4)}
    exec(train, names)
    assert "ghost_skip" not in " ".join(layer.name for layer in names["final"].layers)
    names |= {"ghosted": names["tost"].GhostModel(names["sparse"]), "step": lambda images, labels: None}
    exec(loop.replace("end_epoch=10, steps_per_epoch=352", "end_epoch=1, steps_per_epoch=2").replace("20", "2"), names)
    assert not names["ghosted"].ghosts_active
    for text, small in (
        ("epochs=20", "epochs=2"),
        ("end_epoch=10", "end_epoch=1"),
        ("update_every=100", "update_every=1"),
    ):
        assert text in home
        home = home.replace(text, small)
    exec(home, names)
    assert not names["again"].ghosts_active and names["callbacks"][1].updates
    load = load.replace("runs/quickstart/export/saved_model", "out/").replace("(1, 8, 8, 1)", "(1, 8, 8, 3)")
    exec(load, names)
    exec(keras3, names)
    assert names["keras3"].models.load_model("model.keras").count_params() == names["model"].count_params()


def test_tweaks_of_ones_own_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, own = PYTHON
    small = "epochs=2, train_examples=40, width_multiplier=0.2, sparsity=0.5, rescale_init=False"
    assert "epochs=60" in own and '"resnet20"' in own
    names = {}
    with contextlib.ExitStack() as forgotten:  # at the end of these blocks what was registered meanwhile
        for registry, name in ((GHOST_NEURONS, "pswish"), (GHOST_SKIPS, "projection")):
            forgotten.enter_context(registry.temporarily(name, registry[name]))
        exec(own.replace("epochs=60", small).replace('"resnet20"', '"resnet8"'), names)
    result = json.loads(next(tmp_path.rglob("result.json")).read_text())
    assert "ghost_neurons=gelu ghost_skips=pooled" in result["recipe"]
    assert float(names["gelu"](1.5, tf.constant(1000.0))) == 1.5 and float(names["gelu"](-1.5, tf.constant(1e3))) == 0


OWN_FILES = ("photos", "rows.npz", "mlp.keras", "mine.keras", "my_data.py")


def test_commands_of_the_readme_are_known(tmp_path, monkeypatch):
    from tost_tf.experiment import flags
    from tost_tf.experiment.analyze_options import AnalyzeOptions
    from tost_tf.experiment.commands.mask import MaskOptions
    from tost_tf.experiment.export_options import ExportOptions
    from tost_tf.experiment.report_options import ReportOptions
    from tost_tf.experiment.sweep.grid import read_grid
    from tost_tf.experiment.sweep_options import SweepOptions

    commands = re.findall(r"^(tost-(?:train|mask|analyze|export|sweep|report)) (.*?)(?: +#.*)?$", README, re.MULTILINE)
    assert len(commands) >= 8
    monkeypatch.syspath_prepend(tmp_path)
    for name in OWN_FILES:
        (tmp_path / name).touch()
    files = re.compile(rf"(?<=[:=])({'|'.join(map(re.escape, OWN_FILES))})(?= |$)")
    for command, arguments in commands:
        arguments = files.sub(lambda name: str(tmp_path / name[0]), arguments)
        if command == "tost-train":
            flags.parse(arguments.split())
        elif command == "tost-analyze":
            flags.parse_own(arguments.split(), AnalyzeOptions)
        elif command == "tost-sweep":
            cells, _ = read_grid(arguments.split(), {name: "str" for name in SweepOptions.__dataclass_fields__})
            assert cells and [flags.parse(cell.arguments) for cell in cells[:1]]
        elif command == "tost-report":
            flags.parse_own(arguments.split(), ReportOptions)
        elif command == "tost-export":
            flags.parse_own(arguments.split(), ExportOptions)
        else:
            flags.parse_with(arguments.split(), MaskOptions)
