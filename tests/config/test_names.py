import importlib
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from tost_tf.config import names


@pytest.mark.parametrize("registry", [value for value in vars(names).values() if isinstance(value, names.Registry)])
def test_every_name_leads_to_a_function(registry):
    for name in registry:
        found = registry[name]
        assert callable(getattr(found, "growth", found))  # a dynamic method is a value that holds a function


def test_listed_datasets_are_those_of_tensorflow_datasets():
    assert set(names.TFDS_DATASETS) <= set(tfds.list_builders(with_community_datasets=False))
    assert set(names.CHARACTER_DATASETS) <= {*names.TFDS_DATASETS, *names.DATASETS}


def ran(code: str) -> int:
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_config_imports_no_tensorflow():
    importlib.import_module("tost_tf.config.flags")
    code = "import sys, tost_tf, tost_tf.config.flags; sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
    assert ran(code) == 0


def test_a_known_dataset_is_not_asked_for_and_another_takes_no_tensorflow():
    make = "import sys; from tost_tf.config.run_config import RunConfig as C; C.make(dataset='{}'); m = sys.modules; "
    assert ran(make.format("emnist/letters:3.1.0") + "sys.exit('tensorflow_datasets' in m or 'numpy' in m)") == 0
    assert ran(make.format("cifar10_n") + "sys.exit('tensorflow' in m)") == 0
