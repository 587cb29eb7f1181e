"""Names that users write on the command line, and the functions they stand for."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tost_tf.errors import TostError, unknown_name


class Registry(Mapping[str, Callable[..., Any]]):
    """Named functions of one kind, each imported when it is first used.

    The entries shipped with the project are written as `"package.module:function"`, so that names can be
    checked before TensorFlow is imported. Adding one's own is `registry.register("name", function)`.

    Args:
      kind: what the entries are, for error messages: "model", "mask", ...
      entries: name -> `"package.module:function"`.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]):
        self.kind = kind
        self._entries: dict[str, str | Callable[..., Any]] = dict(entries)

    def register(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Adds `function` under `name` and returns it. Raises `TostError` if the name is taken."""
        if name in self._entries:
            raise TostError(f"the {self.kind} {name!r} exists already: register yours under another name")
        self._entries[name] = function
        return function

    def check(self, name: str) -> None:
        """Raises `TostError` with the known names and the nearest one if `name` is not among them."""
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)

    def __getitem__(self, name: str) -> Callable[..., Any]:
        self.check(name)
        entry = self._entries[name]
        if isinstance(entry, str):
            module, function = entry.split(":")
            entry = self._entries[name] = getattr(importlib.import_module(module), function)
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
