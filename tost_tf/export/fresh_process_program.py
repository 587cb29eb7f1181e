"""A separate program: loads an exported file with only the packages of its format, and runs it.

Usage: python -I fresh_process_program.py LOADER.py FUNCTION FILE INPUT.npz OUTPUT.npz HIDDEN...
LOADER.py has the function that loads the file: the `load` of a `Format`. INPUT.npz holds `images`, in the form the file
takes. OUTPUT.npz gets `logits`, and for each variable (or constant) `names`, `sizes`, `axes` and `zeros`. If the file
also takes bytes, and the images are bytes, it gets `logits_of_bytes` of the first images. HIDDEN are packages that
cannot be imported here, as if they were not installed. The environment variable TOST_SEARCH_PATH may name more folders
in which packages are searched, after Python's default folders.
"""

from __future__ import annotations

import os
import runpy
import sys

MORE = os.environ.get("TOST_SEARCH_PATH", "").split(os.pathsep)
sys.path += [path for path in MORE if path and path not in sys.path]

import numpy as np  # noqa: E402 (it may be in one of those folders)

BATCH = 250


def run(function, images: np.ndarray) -> np.ndarray:
    """The results of a function for images, computed batch by batch."""
    parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    return np.concatenate([np.asarray(function(part)) for part in parts])


def main(loader: str, function: str, path: str, input_file: str, output_file: str, *hidden: str) -> None:
    sys.modules.update(dict.fromkeys(hidden))  # `None` makes Python's import raise
    images = np.load(input_file, allow_pickle=False)["images"]
    try:
        functions, weights = runpy.run_path(loader)[function](path)
    except ModuleNotFoundError as error:
        sys.exit(f"the export was meant to load without {error.name}" if error.name in hidden else str(error))
    answers = {"logits": run(functions["logits"], images)}
    if "logits_of_bytes" in functions and images.dtype == np.uint8:
        answers["logits_of_bytes"] = run(functions["logits_of_bytes"], images[:BATCH])
    values = [np.asarray(value) for _, value in weights]
    np.savez(
        output_file,
        names=np.array([name for name, _ in weights], str),
        sizes=np.array([value.size for value in values], np.int64),
        axes=np.array([value.ndim for value in values], np.int64),
        zeros=np.array([value.size - np.count_nonzero(value) for value in values], np.int64),
        **answers,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
