"""Every public name has a short example in its docstring, and every example runs as it is written."""

import doctest
import inspect
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.registry import REGISTRIES


def public_names(owner: types.ModuleType, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in owner.__all__:
        value = getattr(owner, name)
        if inspect.ismodule(value):
            yield from public_names(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", value


# A thing with two names is tested once.
EXAMPLES = {id(value): (name, value) for name, value in public_names(tost, "tost")}.values()


@pytest.fixture
def what_examples_have(tmp_path, monkeypatch):
    """The names that examples use without a word: a small network, 64 digits, a loss, and a folder."""
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    keras.utils.set_random_seed(3)
    layers, digits = keras.layers, load_digits()
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", name="conv1"),
            layers.BatchNormalization(name="bn1"),
            layers.ReLU(name="relu1"),
            layers.Conv2D(16, 3, padding="same", name="conv2"),
            layers.BatchNormalization(name="bn2"),
            layers.ReLU(name="relu2"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, name="logits"),
        ]
    )
    return {
        "np": np,
        "tf": tf,
        "keras": keras,
        "tost": tost,
        "model": model,
        "images": (digits.images[:64, ..., None] / 16).astype(np.float32),
        "labels": digits.target[:64],
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "folder": tmp_path,
    }


def ran(name: str, docstring: str, names: dict[str, Any]) -> tuple[int, str]:
    """How many lines were run, and a report of those that gave something else than is written."""
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(docstring, names, name, None, None)
    found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    return found.attempted, "".join(report)


@pytest.mark.parametrize(("name", "value"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_the_example_runs_as_it_is_written(name, value, what_examples_have, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    attempted, report = ran(name, inspect.getdoc(value), what_examples_have)
    assert attempted and not report, f"{name} has {attempted} lines of example\n{report}"


def test_an_example_that_is_wrong_is_found(what_examples_have):
    attempted, report = ran("wrong", ">>> len(labels)\n63\n", what_examples_have)
    assert attempted == 1 and "Expected:\n    63\nGot:\n    64" in report
