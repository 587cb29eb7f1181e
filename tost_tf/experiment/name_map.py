"""Which name in PyTorch is which weight here, where a user says so."""

from __future__ import annotations

import json
from pathlib import Path

from tost_tf.errors import TostError


def read_name_map(path: str) -> dict[str, str]:
    """The names in the JSON file of `--name_map`, none for "". Raises `TostError` if it cannot be read as such."""
    if not path:
        return {}
    try:
        names = json.loads(Path(path).read_text())
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise ValueError("it is not an object of strings")
    except (OSError, ValueError) as error:
        raise TostError(f"--name_map={path!r} cannot be read as JSON of the form {{name: path}}: {error}") from None
    return names
