"""Matches the modules of a PyTorch state dict with layers."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tost_tf.convert.torch_state import natural, shown
from tost_tf.errors import TostError

# Words in names with the same meaning, and words that say nothing about the place in the network.
SYNONYMS = {
    "shortcut": ("downsample", "shortcut", "projection", "proj", "skip"),
    "dense": ("fc", "linear", "dense", "classifier", "head", "logits", "hidden"),
    "stem": ("stem",),
}
MEANING = {word: meaning for meaning, words in SYNONYMS.items() for word in words}
EMPTY_WORDS = {
    *("layer", "layers", "stage", "stages", "block", "blocks", "unit", "units", "basic", "bottleneck", "residual"),
    *("res", "conv", "convolution", "convolutional", "bn", "batchnorm", "batch", "norm", "normalization"),
    *("features", "feature", "module", "model", "net", "network", "backbone", "weight", "kernel"),
}
# Of a module: "kernel" or the class of a normalisation, and its shape here. A module fits only layers of its kind.
Kind = tuple


def match(
    theirs: Mapping[str, Kind], ours: Mapping[str, Kind], names: Mapping[str, str], spare: int = 0
) -> dict[str, str]:
    """Pairs modules with layers: first the pairs in `names`, then equal names, then the others by kind and order.

    Modules of one kind in a `Sequential` ("features.0", "features.3") are paired in order. Others are paired in order
    if their names differ only in numbers. Names with different words form groups, which must correspond on both sides
    ("downsample" is "shortcut").

    Args:
      theirs: module -> kind (what must be equal, such as a shape).
      ours: layer path -> kind, in the order of the layers.
      names: module -> layer path, for pairs that should not be guessed.
      spare: how many modules may be left over, of kinds that no layer has.

    Returns:
      Layer path -> module, in the order of the layers.

    Raises:
      TostError: the sides have different numbers of one kind, kinds contradict names, or orders contradict each other.
    """
    pairs = _given(theirs, ours, names)
    pairs |= _same_names(_left(theirs, pairs.values()), _left(ours, pairs))
    left, rest = _by_kind(_left(theirs, pairs.values())), _by_kind(_left(ours, pairs))
    unused = [name for kind, found in left.items() if kind not in rest for name in found]
    if len(unused) <= spare:
        left = _by_kind({name: theirs[name] for found in left.values() for name in found if name not in unused})
    unequal = [kind for kind in {**rest, **left} if len(left[kind]) != len(rest[kind])]
    if unequal:
        kind = unequal[0]
        more = f" (and {len(unequal) - 1} more kinds)" if len(unequal) > 1 else ""
        only_fewer = all(len(left[kind]) < len(rest[kind]) for kind in unequal)
        hint = "; name layers that are not in the file with dense_layers or new_layers" if only_fewer else ""
        raise TostError(
            f"the file cannot be matched by name, shape and order, give a name_map: {_kind_text(kind)}: "
            f"{len(left[kind])} in the file ({shown(left[kind])}), {len(rest[kind])} in the model "
            f"({shown(rest[kind])}){more}{hint}"
        )
    ordered: dict[str, str] = {}
    for kind in rest:
        ordered |= _in_order(left[kind], rest[kind], theirs)
    _require_one_order(ordered, list(ours), theirs)
    pairs |= ordered
    return {path: pairs[path] for path in ours if path in pairs}


def _given(theirs: Mapping[str, Kind], ours: Mapping[str, Kind], names: Mapping[str, str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for name, path in names.items():
        if path in pairs:
            raise TostError(f"the name map gives {path} both {pairs[path]} and {name}")
        if theirs[name] != ours[path]:
            raise TostError(
                f"{name} would have the {_kind_text(theirs[name])} here, which is not that of {path} "
                f"({_kind_text(ours[path])})"
            )
        pairs[path] = name
    return pairs


def _same_names(theirs: Mapping[str, Kind], ours: Mapping[str, Kind]) -> dict[str, str]:
    found = defaultdict(list)
    for name in theirs:
        found[_plain(name)].append(name)
    pairs = {}
    for path, kind in ours.items():
        same = found.get(_plain(path), [])
        if len(same) != 1:
            continue
        if theirs[same[0]] != kind:
            raise TostError(
                f"{same[0]} in the file would have the {_kind_text(theirs[same[0]])} here, and the layer of that name, "
                f"{path}, has the {_kind_text(kind)}: rename it, or give a name_map"
            )
        pairs[path] = same[0]
    return pairs


def _in_order(theirs: Sequence[str], ours: Sequence[str], every: Mapping[str, Kind]) -> dict[str, str]:
    """The pairs of one kind."""
    if len(theirs) == 1:
        return {ours[0]: theirs[0]}
    if len({_in_row(name) for name in theirs}) == 1 and _in_row(theirs[0]) is not None:
        return dict(zip(ours, sorted(theirs, key=natural), strict=True))
    left = _by_words(theirs, every)
    rest = _by_words(ours, ours)
    alike = [words for words in rest if words in left]
    odd_ours, odd_theirs = [w for w in rest if w not in left], [w for w in left if w not in rest]
    groups = [(left[words], rest[words]) for words in alike]
    if len(odd_ours) == len(odd_theirs) == 1:
        groups.append((left[odd_theirs[0]], rest[odd_ours[0]]))
    elif odd_ours or odd_theirs:
        groups = []
    pairs = {}
    for names, paths in groups or [(theirs, ())]:
        has_order = len({_pattern(name) for name in names}) == 1 and list(paths) == sorted(paths, key=natural)
        if len(names) != len(paths) or not has_order:
            raise TostError(
                f"{shown(theirs)} in the file cannot be matched with {shown(ours)} in the model by name or order, and "
                "they have the same shape: give a name_map"
            )
        pairs |= dict(zip(paths, sorted(names, key=natural), strict=True))
    return pairs


def _require_one_order(pairs: Mapping[str, str], ours: Sequence[str], theirs: Mapping[str, Kind]) -> None:
    """Requires that names that differ only in numbers have the order of the network, over all shapes."""
    by_name = {name: path for path, name in pairs.items()}
    groups = defaultdict(list)
    for name in by_name:
        row = _in_row(name)
        groups[theirs[name][0], _pattern(name) if row is None else f"{row}.#"].append(name)
    for names in groups.values():
        for one, other in itertools.pairwise(sorted(names, key=natural)):
            first, second = by_name[one], by_name[other]
            one_kind = _in_row(one) is not None or _words(first, ours) == _words(second, ours)
            if one_kind and ours.index(first) > ours.index(second):
                raise TostError(
                    f"by shape {one} would be {first} and {other} would be {second}, but their order contradicts that: "
                    "give a name_map"
                )


def _in_row(name: str) -> str | None:
    """The word before the numbers in a name of a module in a sequence of modules ("features.3.0")."""
    match = re.fullmatch(r"(?:(\w*?)\.)?\d+(?:\.\d+)*", name)
    return match and (match[1] or "")


def _pattern(name: str) -> str:
    """The name with its numbering replaced by "#": digits, and single letters ("conv_a")."""
    return re.sub(r"(?<![a-z])[a-z](?![a-z])|\d+", "#", name.lower())


def _by_words(names: Sequence[str] | Mapping[str, str], every: Sequence[str] | Mapping[str, Kind]) -> dict:
    groups = defaultdict(list)
    for name in names:
        groups[_words(name, every)].append(name)
    return dict(groups)


def _words(name: str, every: Sequence[str] | Mapping[str, Kind]) -> frozenset[str]:
    """The words in a name that say its place; "conv1" and "bn1" belong to the stem if there is "layer1.0.conv1"."""
    words = {MEANING.get(word, word) for word in re.findall(r"[a-z]{2,}", name.lower())} - EMPTY_WORDS
    if not words and "." not in name and "/" not in name and any("." in other for other in every):
        words = {"stem"}
    return frozenset(words)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _left(names: Mapping[str, Kind], taken) -> dict[str, Kind]:
    taken = set(taken)
    return {name: kind for name, kind in names.items() if name not in taken}


def _by_kind(names: Mapping[str, Kind]) -> dict[Kind, list[str]]:
    groups = defaultdict(list)
    for name, kind in names.items():
        groups[kind].append(name)
    return groups


def _kind_text(kind: Kind) -> str:
    what, *shape = kind
    return f"shape {list(shape)}" if what == "kernel" else f"{what} {list(shape)}"
