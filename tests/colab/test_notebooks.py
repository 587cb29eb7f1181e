"""The notebooks are executed from the top by a real Jupyter kernel, and what they printed and drew is looked at.

`export` takes the run of `quickstart` where there is one; each notebook does without the others, too. `make test`
executes `quickstart`, with fewer epochs; it is executed as it is with `--all`, and so are the others, whose parts are
tested elsewhere.
"""

import base64
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "colab"
NAMES = ("quickstart", "export", "any_mask", "your_own_model")
SIX_MASKS = ("random", "erk", "magnitude", "snip", "grasp", "synflow")
SWITCH = "FULL = False"
SHORTER = {'"epochs": 12': '"epochs": 4', '"rescale_steps": 30': '"rescale_steps": 3'}
PNG = b"\x89PNG\r\n\x1a\n"
FILES_OF_AN_EXPORT = ("saved_model", "keras3", "tflite float32", "tflite float16", "tflite int8")


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """A copy of the notebook with its outputs, executed from the top in `folder` by a kernel of this Python.

    Raises:
      CellExecutionError: of the first cell that fails.
    """
    executed = copy.deepcopy(notebook)
    client = NotebookClient(executed, kernel_name="python3", timeout=600, resources={"metadata": {"path": str(folder)}})
    # Without folders of kernels "python3" is this very Python, whatever is installed for the user.
    client.create_kernel_manager().kernel_spec_manager.kernel_dirs = []
    client.execute(env={**os.environ, "PYTHONPATH": str(FOLDER.parent)})
    return executed


def read(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: NotebookNode) -> str:
    """All text of the outputs: streams, and the text or Markdown of what was displayed."""
    parts = []
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        data = output.get("data", {})
        parts.append(output.get("text", "") or data.get("text/markdown") or data.get("text/plain", ""))
    return "\n".join(parts)


def pictures(notebook: NotebookNode) -> list[bytes]:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [base64.b64decode(output.data["image/png"]) for output in outputs if "image/png" in output.get("data", {})]


def executed(notebook: NotebookNode, folder: Path, pictures_drawn: int) -> str:
    """Executes a notebook, sees that it has drawn what it should, and returns what it printed."""
    notebook = execute(notebook, folder)
    drawn = pictures(notebook)
    assert len(drawn) == pictures_drawn and all(picture.startswith(PNG) and len(picture) > 5000 for picture in drawn)
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    return printed(notebook)


@pytest.fixture(scope="module")
def whole(request) -> bool:
    """Whether notebooks are executed as they are."""
    return request.config.getoption("--all")


@pytest.fixture(scope="module")
def quickstart(whole, tmp_path_factory) -> tuple[Path, str]:
    """The folder in which it was executed, and what it printed."""
    folder, notebook = tmp_path_factory.mktemp("colab"), read("quickstart")
    if not whole:
        (cell,) = (cell for cell in code_cells(notebook) if all(text in cell.source for text in SHORTER))
        for long, short in SHORTER.items():
            cell.source = cell.source.replace(long, short)
    return folder, executed(notebook, folder, pictures_drawn=5)


def test_quickstart_trains_and_loads_back(quickstart, whole):
    folder, text = quickstart
    (result_file,) = folder.rglob("result.json")
    result = json.loads(result_file.read_text())
    percent = f"{100 * result['test_accuracy']:.2f}%"
    assert (
        result["test_accuracy"] > (0.9 if whole else 0.3)
        and 0.94 < result["sparsity"] < 0.95
        and "alpha: 0.0000e+00" in text
    )
    assert f"{percent} of the test images are right, with {result['nonzero_parameters']:,} of" in text
    assert f"{percent} of 359 test images are right by the SavedModel" in text


# Its formats are each checked in a process of their own in tests/experiment/stages/test_export.py.
@pytest.mark.exhaustive
def test_export_takes_the_run_of_quickstart(quickstart):
    folder, _ = quickstart
    text = executed(read("export"), folder, pictures_drawn=1)
    (result_file,) = folder.rglob("result.json")
    assert "Epoch 1/" not in text  # or it has trained again
    manifest = json.loads((result_file.parent / "export" / "manifest.json").read_text())
    assert tuple(manifest) == FILES_OF_AN_EXPORT
    for name, entry in manifest.items():
        assert (result_file.parent / "export" / entry["file"]).exists() and entry["test_accuracy"] > 0.9
        scored = re.search(rf"^{name} +(\S+)% here, (\S+)% in the manifest", text, re.MULTILINE)
        assert float(scored[1]) == pytest.approx(100 * entry["test_accuracy"], abs=0.6), name


def check_table(text: str, folder: Path, masks: tuple[str, ...]) -> None:
    for mask in masks:
        (result_file,) = folder.rglob(f"*_{mask}/result.json")
        result = json.loads(result_file.read_text())
        accuracy = f"{100 * result['test_accuracy']:.1f}%"
        row = re.search(
            rf"^\| {mask} \| {accuracy} \| 94\.\d\d% \|.* \| (\d+) \| [\d.]+ \| \d+ \|$", text, re.MULTILINE
        )
        assert int(row[1]) == len(result["collapsed_layers"]) and result["test_accuracy"] > 0.7


@pytest.mark.exhaustive
def test_any_mask_whole(tmp_path):
    check_table(executed(read("any_mask"), tmp_path, pictures_drawn=1), tmp_path, SIX_MASKS)


@pytest.mark.exhaustive
def test_your_own_model_learns_and_is_the_same_after_stripping(tmp_path):
    text = executed(read("your_own_model"), tmp_path, pictures_drawn=3)
    assert re.search(r"conv_dw_13_relu +pswish", text) and "40 ghosts" in text
    assert "(80.00%)" in text and "alpha: 0.0000e+00" in text
    assert float(re.search(r"to tf_keras .*: logits differ by (\S+) of the largest", text)[1]) < 1e-4
    assert any(tmp_path.rglob("sparse.keras"))
    assert float(re.search(r"([\d.]+)% of 359 test images are right", text)[1]) > 70


def test_cell_that_errors_fails(tmp_path):
    broken = read("quickstart")
    broken.cells = [*broken.cells[:2], nbformat.v4.new_code_cell("tost_tf.no_such_name")]
    with pytest.raises(CellExecutionError, match="has no attribute 'no_such_name'"):
        execute(broken, tmp_path)


# A program: runs the cells of each file up to its options, with the switch on, and prints the options by file.
OPTIONS_OF_CELLS = """
import contextlib, json, sys

options = {}
for path in sys.argv[1:]:
    names = {}
    with contextlib.redirect_stdout(sys.stderr):
        exec(open(path).read(), names)
    # TensorFlow looks at the environment that the options' cell sets when it is imported: not before.
    assert "tensorflow" not in sys.modules
    options[path] = [config.options() for config in names.get("configs", {}).values() or [names["config"]]]
print(json.dumps(options))
"""


@pytest.fixture(scope="module")
def full_options(tmp_path_factory) -> dict[str, list[dict]]:
    """By notebook, the options of its runs where the switch is on. Its cells so far need no kernel."""
    folder = tmp_path_factory.mktemp("full")
    for name in NAMES:
        cells = code_cells(read(name))
        last = next(place for place, cell in enumerate(cells) if "RunConfig.make" in cell.source)
        source = "\n".join(cell.source for cell in cells[: last + 1])
        (folder / f"{name}.py").write_text(source.replace(SWITCH, "FULL = True"))
    command = [sys.executable, "-c", OPTIONS_OF_CELLS, *(f"{name}.py" for name in NAMES)]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.removesuffix(".py"): options for path, options in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", NAMES)
def test_switch_gives_the_real_thing(name, full_options):
    runs = full_options[name]
    assert [options["mask"] for options in runs] == (list(SIX_MASKS) if name == "any_mask" else ["random"])
    for options in runs:
        assert (options["dataset"], options["epochs"], options["lr_drop_epochs"]) == ("cifar10", 180, [90, 135])
        assert (options["batch_size"], options["learning_rate"], options["recipe"]) == (128, 0.1, "tost")
        if name != "your_own_model":  # which brings its network and mask itself
            assert (options["model"], options["sparsity"], options["rescale_steps"]) == ("resnet32x2", 0.98, 180)
            assert options["rescale_init"] and options["dense_layers"] == "^logits$" and "cifar10" in options["run_dir"]
    assert len({options["run_dir"] for options in runs}) == len(runs)


@pytest.mark.parametrize("name", [path.stem for path in sorted(FOLDER.glob("*.ipynb"))])
def test_form(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert name in NAMES
    first, cells = notebook.cells[0], code_cells(notebook)
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    badge = r"\]\(https://colab\.research\.google\.com/github/([^/]+/tost_tf)/blob/main/colab/(\w+)\.ipynb\)"
    repository, badge_name = re.search(badge, first.source).groups()
    assert badge_name == name
    assert f"git+https://github.com/{repository}@main" in cells[0].source and "except ImportError" in cells[0].source
    everything = "\n".join(cell.source for cell in notebook.cells)
    assert set(re.findall(r"github(?:\.com)?/([\w.-]+/tost_tf)", everything)) == {repository}
    assert [cell.source for cell in cells if re.search(r"\bFULL\b *=", cell.source)] == [SWITCH] == [cells[1].source]
    # Nothing of the machine it was last opened on.
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
