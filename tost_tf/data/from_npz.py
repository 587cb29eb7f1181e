"""`npz:FILE`: arrays in a NumPy archive."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tost_tf.data.arrays import from_arrays
from tost_tf.errors import TostError

if TYPE_CHECKING:
    from tost_tf.data.images import ImageData
    from tost_tf.data.options import DataConfig

NAMES = ("x_train", "y_train", "x_test", "y_test")


def load_npz(path: Path, config: DataConfig) -> ImageData:
    """Reads `x_train`, `y_train`, `x_test` and `y_test`, the names in Keras's datasets. Never unpickles.

    The arrays are as in `from_arrays`: images, sequences or rows.

    Raises:
      TostError: the file cannot be read, or an array is missing or wrong.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in NAMES if name not in archive.files]
            if missing:
                raise TostError(
                    f"{path} has no {', '.join(missing)}: the arrays {', '.join(NAMES)} are needed, it has "
                    f"{', '.join(archive.files) or 'none'}"
                )
            x_train, y_train, x_test, y_test = (archive[name] for name in NAMES)
    except TostError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise TostError(f"{path} cannot be read as an .npz file without pickles: {error}") from None
    return from_arrays(path.name, (x_train, y_train), (x_test, y_test), config)
