"""The content of a PyTorch state dict: arrays by name, grouped by module.

`torch.nn.utils.prune` stores a pruned parameter as `weight_orig` and its mask as `weight_mask`. `DataParallel` adds the
prefix `module.` to all names, `torch.compile` the prefix `_orig_mod.`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

import numpy as np

from tost_tf.errors import TostError

WRAPPERS = ("module.", "_orig_mod.")
# Attributes that often hold the network: removed if all names begin with them.
HOLDERS = ("model.", "net.", "network.", "state_dict.")
PARTS = (
    *("weight", "weight_orig", "weight_mask", "mask", "bias", "bias_orig", "bias_mask"),
    *("running_mean", "running_var", "num_batches_tracked"),
)
MOST_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class TorchModule:
    """The arrays of one module in the file.

    Attributes:
      name: of the module, without prefixes of wrappers.
      parts: "weight", "bias", "running_mean", ... -> array; a mask is called "weight_mask".
      names: part -> the name in the file.
    """

    name: str
    parts: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    names: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def kernel(self) -> np.ndarray | None:
        """The weights, masked if there is a mask; only the mask if there are no weights; `None` without both."""
        if "weight_orig" in self.parts:
            return self.parts["weight_orig"] * self.parts.get("weight_mask", 1)
        if "weight" in self.parts:
            return self.parts["weight"] * self.parts.get("weight_mask", 1)
        return self.parts.get("weight_mask")

    @property
    def mask(self) -> np.ndarray | None:
        """The mask of the weights, `None` if the file has none."""
        return self.parts.get("weight_mask")

    @property
    def kernel_name(self) -> str:
        """The name in the file of the mask, or of the weights if there is no mask."""
        return next(self.names[part] for part in ("weight_mask", "weight", "weight_orig") if part in self.names)

    @property
    def has_kernel(self) -> bool:
        """Whether it is a convolution, a linear layer or an embedding: its weights have two dimensions or more."""
        return self.kernel is not None and self.kernel.ndim >= 2

    @property
    def has_weights(self) -> bool:
        """Whether the file has weights of its kernel, not only a mask: numbers other than zeros and ones."""
        values = self.parts.get("weight_orig", self.parts.get("weight"))
        return self.has_kernel and values is not None and bool(((values != 0) & (values != 1)).any())

    @property
    def bias(self) -> np.ndarray | None:
        """The bias, masked if it has a mask."""
        value = self.parts.get("bias_orig", self.parts.get("bias"))
        return value if value is None else value * self.parts.get("bias_mask", 1)


def modules_of(arrays: Mapping[str, np.ndarray]) -> dict[str, TorchModule]:
    """The modules in a state dict by name, in the natural order of their names.

    Raises:
      TostError: two names differ only in prefixes of wrappers.
    """
    stripped = dict(zip(arrays, _without_wrappers(arrays), strict=True))
    modules: dict[str, TorchModule] = {}
    for full in sorted(arrays, key=lambda name: natural(stripped[name])):
        module, _, part = stripped[full].rpartition(".")
        if part not in PARTS or not module:
            module, part = stripped[full], "weight"
        part = "weight_mask" if part == "mask" else part
        found = modules.setdefault(module, TorchModule(module))
        if part in found.parts:
            raise TostError(f"{found.names[part]} and {full} are the same {part} of {module}: remove one")
        found.parts[part], found.names[part] = _as_numbers(arrays[full]), full
    return modules


def module_name(name: str, modules: Mapping[str, TorchModule]) -> str | None:
    """The module to which a name in the file belongs, with or without prefixes of wrappers; `None` if there is none."""
    for module in modules.values():
        if name == module.name or name in module.names.values():
            return module.name
    bare = next(iter(_without_wrappers([name])))
    return next((m.name for m in modules.values() if any(bare == f"{m.name}.{part}" for part in m.parts)), None)


def natural(name: str) -> list[tuple[int, int | str]]:
    """A sort key of names that compares numbers in them as numbers."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def shown(names: Iterable[str]) -> str:
    """The first few names, separated by commas."""
    names = list(names)
    return ", ".join(names[:MOST_SHOWN]) + (", ..." if len(names) > MOST_SHOWN else "") if names else "none"


def _without_wrappers(names: Iterable[str]) -> list[str]:
    bare = [re.sub(rf"^({'|'.join(map(re.escape, WRAPPERS))})+", "", name) for name in names]
    for holder in HOLDERS:
        if len(bare) > 1 and all(name.startswith(holder) for name in bare):
            bare = [name.removeprefix(holder) for name in bare]
    return bare


def _as_numbers(array: np.ndarray) -> np.ndarray:
    """The array with a numeric type of NumPy: bfloat16 and similar types become float32."""
    is_numpys = array.dtype.kind in "buif" or array.dtype.names or array.dtype.type.__module__ == "numpy"
    return array if is_numpys else array.astype(np.float32)
