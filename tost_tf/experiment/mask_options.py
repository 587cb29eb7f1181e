"""Which weights of a run stay."""

from __future__ import annotations

import dataclasses

from tost_tf.experiment.model_options import is_file
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, parsed_pattern
from tost_tf.options import Condition, none_of, one_of, option
from tost_tf.registry import MASKS

NO_MASK = "none"
IF_FOUND = {"mask_file": one_of(""), "from_torch": one_of("")}


def _takes_sparsity(mask_file: str) -> bool:
    return not mask_file or "{sparsity}" in mask_file


def _has_scope(mask: str) -> bool:
    return mask in MASKS and MASKS[mask].has_scope


def _has_sparsity(mask: str) -> bool:
    return mask not in MASKS or MASKS[mask].has_sparsity


def _has_layer_sparsity(mask: str) -> bool:
    return mask in MASKS and MASKS[mask].has_layer_sparsity


def _pattern_has_scope(pattern: str) -> bool:
    return parsed_pattern(pattern).has_scope


def _pattern_has_layers(pattern: str) -> bool:
    return parsed_pattern(pattern).has_layer_sparsity


@dataclasses.dataclass(frozen=True)
class MaskConfig:
    """Which weights stay."""

    mask: str = option("random", "how the mask is found", names=MASKS, also=(NO_MASK,))
    mask_file: str = option(
        "", "read the mask from this .npz file instead of finding one; {sparsity} in its name stands for the percentage"
    )
    from_torch: str = option(
        "",
        "import the mask from this PyTorch state dict (.safetensors or .npz): its masks, or the zeros of its weights",
        only_with={"mask_file": one_of("")},
    )
    name_map: str = option(
        "",
        "JSON file: name in PyTorch -> weight path here, if names, order and shape are not enough",
        only_with_one={"from_torch": none_of(""), "initial_weights": none_of("")},
    )
    sparsity: float = option(
        0.95,
        "fraction of the weights that are zero; with --mask_file the file sets it, and this only fills in its name",
        minimum=0,
        below=1,
        only_with={
            "mask_file": Condition(_takes_sparsity, "'' or a name with {sparsity} in it"),
            "mask": Condition(_has_sparsity, "(one that is found at a sparsity)"),
            "from_torch": one_of(""),
        },
    )
    layer_sparsity: str = option(
        "",
        "sparsities of some layers, such as stage3.*=0.99,stem=0: regular expressions of layer names, the first that "
        "matches is used; the others get what is left, so that all together have --sparsity",
        only_with={
            "mask": Condition(_has_layer_sparsity, "(one that ranks weights once)"),
            "mask_pattern": Condition(_pattern_has_layers, "(one that leaves layers their sparsities)"),
            **IF_FOUND,
        },
    )
    mask_scope: str = option(
        "global",
        "rank all weights together (global) or each kernel alone (layer); erk sets a density for each layer itself",
        names=("global", "layer"),
        only_with={
            "mask": Condition(_has_scope, "(one that ranks weights)"),
            "mask_pattern": Condition(_pattern_has_scope, "(one that leaves layers their sparsities)"),
            **IF_FOUND,
        },
    )
    mask_pattern: str = option(
        UNSTRUCTURED,
        "which weights are kept or removed together: unstructured, channels (whole filters with what reads them), "
        "channels:M (in multiples of M), block:AxB (of A input and B output channels), N:M (N of M consecutive input "
        "channels stay, such as 2:4, which sets --sparsity), fan_in (as many weights for each filter of a layer); a "
        "mask that is given must have it, of channels:M the whole channels",
        only_with={"mask": none_of(NO_MASK)},
    )
    dense_layers: str = option("", "regular expression of the names of layers that are left dense")
    mask_shuffle: bool = option(
        False,
        "shuffle the mask within each layer, a sanity check",
        only_with={"mask": none_of(NO_MASK), "mask_pattern": one_of(UNSTRUCTURED)},
    )
    initial_weights: str = option(
        "",
        "start from the weights in this .npz file, such as those of a lottery ticket, or in a PyTorch state dict "
        "(.safetensors or .npz); {sparsity} as in --mask_file",
    )
    new_layers: str = option(
        "",
        "regular expression of the names of layers that are not read from these files but initialised, and not pruned; "
        "everything else must match",
        only_with_one={"mask_file": none_of(""), "from_torch": none_of(""), "initial_weights": none_of("")},
    )
    keep_zeros: bool = option(
        True,
        "weights that are zero in the file of --model or --initial_weights count as pruned in the search for a mask",
        only_with={"mask": none_of(NO_MASK, "zeros"), **IF_FOUND},
        only_with_one={"initial_weights": none_of(""), "model": Condition(is_file, "FILE.keras or FILE.h5")},
    )

    @property
    def has_sparsity(self) -> bool:
        """Whether `sparsity` is the requested one; if not, a file or the zeros of weights determine it."""
        return not self.file and _has_sparsity(self.mask)

    @property
    def found_label(self) -> str:
        """The method of a mask that is searched for, with the pattern if it has one."""
        return self.mask if self.mask_pattern == UNSTRUCTURED else f"{self.mask} {self.mask_pattern}"

    @property
    def file(self) -> str:
        """The file of the mask, "" for a mask that is searched for."""
        return self.mask_file or self.from_torch
