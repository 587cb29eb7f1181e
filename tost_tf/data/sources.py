"""A user's data: `folder:PATH`, `npz:FILE` and `MODULE:FUNCTION` as names of datasets."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tost_tf.data.arrays import from_arrays
from tost_tf.data.images import ImageData
from tost_tf.errors import TostError
from tost_tf.registry import DATA_SOURCES

if TYPE_CHECKING:
    from tost_tf.data.options import DataConfig

# The version in NAME:VERSION of tensorflow-datasets is never a Python name.
FUNCTION = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<function>[A-Za-z_]\w*)")


def is_own(dataset: str) -> bool:
    """Whether the name of a dataset refers to a user's data."""
    return _source_of(dataset) is not None or FUNCTION.fullmatch(dataset) is not None


def check_own(dataset: str, what: str = "dataset") -> None:
    """Raises `TostError` if the path or module in such a name does not exist; `what` is the kind of name."""
    if _source_of(dataset) is not None:
        path = _path(dataset)
        if not path.exists():
            raise TostError(f"{what} {dataset!r}: there is no {path}")
        return
    module = FUNCTION.fullmatch(dataset)["module"]
    with_working_folder(lambda: _find(module, dataset, what))


def load_own(config: DataConfig) -> ImageData:
    """Loads the data of a name for which `is_own` holds.

    Raises:
      TostError: the data are missing or not suitable, or the user's function raises an error, which is the cause.
    """
    source = _source_of(config.dataset)
    if source is not None:
        return _as_data(DATA_SOURCES[source](_path(config.dataset), config), config)
    found = FUNCTION.fullmatch(config.dataset)
    try:
        given = with_working_folder(lambda: _called(found["module"], found["function"], config))
    except TostError:
        raise
    except Exception as error:
        deepest = traceback.extract_tb(error.__traceback__)[-1]
        raise TostError(
            f"{config.dataset} raised {type(error).__name__}: {' '.join(str(error).split())} (in line "
            f"{deepest.lineno} of {deepest.filename!r})"
        ) from error
    return _as_data(given, config)


def _called(name: str, function_name: str, config: DataConfig) -> object:
    """What the user's function returns."""
    module = importlib.import_module(name)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise TostError(f"{name} has no function {function_name!r} that returns a dataset")
    return function(config)


def with_working_folder(job: Callable):
    """Calls a function without arguments while modules in the working folder can be imported; returns its result."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        return job()
    finally:
        sys.path.remove(folder)


def _as_data(given: object, config: DataConfig) -> ImageData:
    if isinstance(given, ImageData):
        return given
    if not isinstance(given, tuple) or len(given) != 4:
        raise TostError(
            f"{config.dataset} returned {type(given).__name__}, it must return an ImageData or the four arrays "
            "x_train, y_train, x_test, y_test"
        )
    return from_arrays(config.dataset, given[:2], given[2:], config)


def _find(module: str, dataset: str, what: str) -> None:
    try:
        found = importlib.util.find_spec(module)
    except ImportError:  # its package cannot be imported
        found = None
    if found is None:
        raise TostError(f"{what} {dataset!r}: there is no Python module {module!r} here or installed")


def _source_of(dataset: str) -> str | None:
    source, separator, path = dataset.partition(":")
    return source if separator and path and source in DATA_SOURCES else None


def _path(dataset: str) -> Path:
    return Path(dataset.partition(":")[2]).expanduser()
