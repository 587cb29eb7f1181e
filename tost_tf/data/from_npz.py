"""`npz:FILE`: arrays in a NumPy archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tost_tf.data.arrays import from_arrays
from tost_tf.errors import TostError
from tost_tf.files import read_arrays

if TYPE_CHECKING:
    from tost_tf.data.images import ImageData
    from tost_tf.data.options import DataConfig

NAMES = ("x_train", "y_train", "x_test", "y_test")
VALIDATION = (("x_validation", "y_validation"), ("x_val", "y_val"), ("x_valid", "y_valid"))


def load_npz(path: Path, config: DataConfig) -> ImageData:
    """Reads `x_train`, `y_train`, `x_test` and `y_test`, the names in Keras's datasets. Never unpickles.

    It may have `x_validation` and `y_validation` (or `x_val`, `y_val`; `x_valid`, `y_valid`). The arrays are as in
    `from_arrays`: images, sequences or rows.

    Raises:
      TostError: the file cannot be read, or an array is missing or wrong.
    """
    try:
        arrays = read_arrays(path)
    except (OSError, ValueError) as error:
        raise TostError(f"{path} cannot be read as an .npz file without pickles: {error}") from None
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise TostError(
            f"{path} has no {', '.join(missing)}: the arrays {', '.join(NAMES)} are needed, it has "
            f"{', '.join(arrays) or 'none'}"
        )
    validation = [names for names in VALIDATION if any(name in arrays for name in names)]
    if len(validation) > 1 or any(name not in arrays for names in validation for name in names):
        raise TostError(
            f"{path} has {', '.join(name for names in validation for name in names if name in arrays)}: for validation "
            "give one pair of arrays, x_validation and y_validation"
        )
    train, test, *held_out = ((arrays[x], arrays[y]) for x, y in (NAMES[:2], NAMES[2:], *validation))
    return from_arrays(path.name, train, test, config, *held_out)
