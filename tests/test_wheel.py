"""The wheel: built from the tree, put into an empty environment, and used there."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest

# Runs in an environment that has the wheel and nothing else of this project; what the project needs is lent to it.
USE = """
import sys
from pathlib import Path
import tost_tf as tost

assert Path(tost.__file__).is_relative_to(sys.prefix), tost.__file__
model = tost.models.build("resnet8", (8, 8, 3), 10, 0.25)
sparse = tost.sparsify(model, tost.masks.erk(model, sparsity=0.7))
final = tost.strip(tost.GhostModel(sparse), ghosts="remove")
kernels = [weight.numpy() for weight in final.weights if weight.name.endswith("kernel:0")]
print(f"sparsity {sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels):.3f}")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree("tost_tf", source / "tost_tf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(name, source)
    build = [sys.executable, "-m", "pip", "wheel", source, "--no-deps", "--no-build-isolation", "-q", "-w", folder]
    subprocess.run(build, check=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_library_its_license_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert all(name.startswith(("tost_tf/", "tost_tf-")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {"tost_tf/report/page.html", "tost_tf/py.typed"} <= set(names)
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("METADATA"))).decode()
    for line in ("License-Expression: Apache-2.0", "Requires-Python: <3.14,>=3.11", "Requires-Dist: tf_keras"):
        assert line in metadata


def test_wheel_works_in_an_empty_environment(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-I", "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--quiet", wheel], check=True)
    # The packages it depends on are those of this environment, behind its own.
    lent = next((tmp_path / "venv/lib").glob("python3*/site-packages")) / "lent.pth"
    lent.write_text(sysconfig.get_path("purelib") + "\n")
    used = subprocess.run([python, "-I", "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert used.returncode == 0, used.stderr[-2000:]
    assert used.stdout == "sparsity 0.700\n"
    commands = sorted((tmp_path / "venv/bin").glob("tost-*"))
    options = {"analyze": "what", "export": "formats", "mask": "out", "report": "out", "sweep": "jobs", "train": "seed"}
    assert [command.name for command in commands] == [f"tost-{name}" for name in options]
    for command, option in zip(commands, options.values(), strict=True):
        helped = subprocess.run([python, "-I", command, "--help"], cwd=tmp_path, capture_output=True, text=True)
        assert helped.returncode == 0 and f"--{option}" in helped.stdout, command
