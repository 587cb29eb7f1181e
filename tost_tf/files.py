"""Writes files so that a reader sees the complete old or the complete new file, never a part."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tost_tf.errors import TostError

TEMPORARY = ".tost-tmp-"  # how the names of files begin that are being written; nobody else's do
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".tar", ".bin")


@contextlib.contextmanager
def replaced_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path` to write to; renames it to `path` unless the block raises."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept, since some writers choose the format by it, or add it if it is missing.
    handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_folder(path: str | os.PathLike) -> Iterator[Path]:
    """As `replaced_file`, for a folder: an existing folder at `path` is removed only after the new one is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent))
    try:
        new = scratch / "new"
        new.mkdir()
        yield new
        if path.exists():
            os.rename(path, scratch / "old")
        os.rename(new, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def require_writable(folder: str | os.PathLike, whose: str) -> None:
    """Raises `TostError` if no files can be written into a folder. It need not exist yet, and is not created.

    What is tried is to make a folder with a temporary name where the nearest one exists: permissions alone do not tell,
    since they do not bind the superuser, and some file systems (such as /proc) take no files.

    Args:
      folder: the folder.
      whose: what will be written, for the message: "--out=masks/mask.npz".
    """
    folder = Path(folder)
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise TostError(f"{whose} cannot be written: {str(nearest)!r} is not a folder")
    try:
        tried = tempfile.mkdtemp(prefix=TEMPORARY, dir=nearest)
    except OSError as error:
        raise TostError(
            f"{whose} cannot be written: the folder {str(nearest)!r} is not writable ({error.strerror})"
        ) from None
    with contextlib.suppress(OSError):  # another process may have taken it for a leftover
        os.rmdir(tried)


def sweep_folder(folder: Path) -> None:
    """Removes the temporary files of processes that were killed in `replaced_file` or `replaced_folder`.

    If an old folder was already moved away, the new one was complete, and the replacement is finished now.
    """
    for entry in folder.glob(f"{TEMPORARY}*"):
        if not entry.is_dir():
            entry.unlink()
            continue
        target = folder / entry.name.removeprefix(TEMPORARY).rpartition("-")[0]
        if (entry / "old").exists() and (entry / "new").exists() and not target.exists():
            os.rename(entry / "new", target)
        shutil.rmtree(entry)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path`, completely or not at all."""
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_object(path: str | os.PathLike) -> dict[str, Any]:
    """The object in a JSON file. Raises `TostError` if it cannot be read or is not one."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TostError(f"{Path(path).name} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise TostError(f"{Path(path).name} is not a JSON object")
    return content


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays as an `.npz` file, completely or not at all."""
    with replaced_file(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads named arrays from an `.npz` or `.safetensors` file. Never unpickles.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not such a file, is incomplete, or holds pickled objects.
    """
    try:
        if str(path).endswith(".safetensors"):
            from safetensors import SafetensorError
            from safetensors.numpy import load_file

            try:
                return load_file(path)
            except SafetensorError as error:
                raise ValueError(str(error)) from None
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not a complete .npz archive")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        other = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if other:
            raise ValueError(f"it is an archive of other things than arrays, such as {other[0]}")
        return arrays
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:
        raise ValueError(str(error)) from None


def require_no_pickle(path: str | os.PathLike) -> None:
    """Raises `TostError`, with advice, if the name is that of a pickle."""
    if str(path).endswith(PICKLES):
        raise TostError(
            f"{str(path)!r} is a pickle, which is never read: convert it in PyTorch by safetensors.torch.save_file("
            "{name: tensor.contiguous() for name, tensor in torch.load(...).items()}, 'state.safetensors')"
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no such file or it cannot be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes indented JSON, completely or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
