"""Which devices a run gets. Where TensorFlow must not have begun, in a process of its own."""

import subprocess
import sys

import pytest

from tost_tf.compat import tf
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.devices import distribution_strategy, split_cpu


def in_a_fresh_process(code: str) -> str:
    preamble = (
        "from tost_tf.compat import tf\n"
        "from tost_tf.experiment.options import RunConfig\n"
        "from tost_tf.experiment.run.devices import distribution_strategy, split_cpu\n"
    )
    done = subprocess.run([sys.executable, "-c", preamble + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cpu_is_split_and_auto_takes_all_of_it():
    code = """
split_cpu(3)
split_cpu(3)
for name in ("auto", "mirrored"):
    machine = RunConfig.make(distribution=name, virtual_devices=3).machine
    print(distribution_strategy(machine).num_replicas_in_sync, len(tf.config.list_logical_devices("CPU")))
print(distribution_strategy(RunConfig.make().machine).num_replicas_in_sync)
try:
    distribution_strategy(RunConfig.make(virtual_devices=3, jit_compile=True).machine)
except ValueError as error:
    print(error)
try:
    distribution_strategy(RunConfig.make(distribution="tpu").machine)
except ValueError as error:
    print(error)
"""
    *numbers, error, no_tpu = in_a_fresh_process(code).splitlines()
    assert numbers == ["3 3", "3 3", "1"]
    assert error.startswith("--jit_compile works on one device, there are 3")
    assert no_tpu.startswith("--distribution=tpu finds no TPU here (") and no_tpu.endswith("or set TPU_NAME")


def test_splitting_after_the_devices_are_set_up_is_refused():
    tf.config.list_logical_devices("CPU")
    with pytest.raises(
        TostError, match="--virtual_devices=5 comes too late: TensorFlow has already set up its devices"
    ):
        split_cpu(5)
    split_cpu(2)  # as many as there are
    split_cpu(0)


def test_splitting_is_refused_if_there_are_gpus(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] if kind == "GPU" else [])
    with pytest.raises(TostError, match="splits the CPU, but this machine has 1 GPU"):
        split_cpu(2)


def test_one_device_needs_no_strategy():
    for name in ("none", "auto"):  # two logical devices are here, which nobody asked for
        assert distribution_strategy(RunConfig.make(distribution=name).machine) is tf.distribute.get_strategy()
