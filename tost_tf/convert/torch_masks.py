"""Masks from PyTorch, converted to this project's layouts and names."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from tost_tf.compat import keras
from tost_tf.convert.torch_layout import converted_kernel, kernel_kind, kernel_kinds
from tost_tf.convert.torch_match import Kind, match
from tost_tf.convert.torch_order import Order, input_orders
from tost_tf.convert.torch_state import TorchModule, module_name, modules_of, shown
from tost_tf.errors import TostError
from tost_tf.graph.kernels import is_ranked, prunable_weights
from tost_tf.graph.left_dense import unreachable_kernels
from tost_tf.masks.masks import Masks

Say = Callable[[str], None]
# The order for a layer inside another one: the graph does not show it.
INSIDE = Order("unknown", None, "it is part of another layer")


def masks_from_torch(
    arrays: Mapping[str, np.ndarray],
    model: keras.Model,
    names: Mapping[str, str] | None = None,
    dense_layers: str = "",
    new_layers: str = "",
    say: Say = logging.info,
) -> Masks:
    """The masks of `model` from those of the same network in PyTorch, as `from_torch` reads them.

    The input features of a layer may have another order there (after a Flatten of images); its mask is reordered too.

    Args:
      arrays: as in `from_torch`.
      model: a functional or Sequential tf_keras model.
      names: as in `from_torch`.
      dense_layers: regular expression of the paths of layers that the file may omit; then they stay dense.
      new_layers: regular expression of the paths of layers that are not read from the file, and stay dense; up to as
        many modules in the file are ignored.
      say: called with a line for each pair of names.

    Raises:
      TostError: as `from_torch`, or the order of a layer's input features is unknown.
    """
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    old = {path: shape for path, shape in shapes.items() if is_ranked(path_of_layer(path), new_layers)}
    ranked = {path: shape for path, shape in old.items() if is_ranked(path_of_layer(path), dense_layers)}
    others = [
        kernel_kind(path.rpartition("/")[2], tuple(weight.shape)) for path, weight in unreachable_kernels(model).items()
    ]
    modules = modules_of(arrays)
    there = _prunable_kinds(modules, _masks_there(modules), _kinds(_layers_of(old), old), others)
    wanted = ranked if len(there) < len(old) else old
    masks = from_torch(arrays, wanted, names, input_orders(model), len(shapes) - len(old), others, say)
    return Masks({path: masks.get(path, np.ones(shape)) for path, shape in shapes.items()})


def from_torch(
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str] | None = None,
    orders: Mapping[str, Order] | None = None,
    spare: int = 0,
    unprunable: Iterable[Kind] = (),
    say: Say = logging.info,
) -> Masks:
    """Masks of weights of these shapes from those of the same network in PyTorch.

    If the file has tensors named `..._mask`, these are the masks; a layer with weights but without a mask stays dense.
    Otherwise the weight tensors are the masks if they hold only zeros and ones; if not, their zeros are pruned.
    `match` says how modules are matched with layers.

    Args:
      arrays: PyTorch name ("layer1.0.conv1.weight_mask") -> array in PyTorch's layout.
      shapes: weight path -> shape of this model's prunable weights, in the order of its layers.
      names: PyTorch name -> weight path, if names, order and shape are not enough.
      orders: layer path -> PyTorch's order of the layer's input features; by default the same.
      spare: how many modules may be left over, of kinds that no layer here has.
      unprunable: the kinds of kernels that no mask here can reach, such as embeddings; a module of such a kind that the
        file does not prune is left out.
      say: called with a line for each pair of names.

    Raises:
      TostError: a name in `names` is unknown, a shape does not fit, the match is ambiguous, or masks prune parameters
        that cannot be pruned here.
    """
    modules = modules_of(arrays)
    masks = _masks_there(modules)
    ours = _layers_of(shapes)
    kinds = _kinds(ours, shapes)
    given = _given_pairs(dict(names or {}), modules, ours)
    pairs = match(_prunable_kinds(modules, masks, kinds, unprunable), kinds, given, spare)
    found = {}
    for layer, name in pairs.items():
        path = ours[layer]
        order = None if orders is None else orders.get(path_of_layer(path), INSIDE)
        require_order(path, order)
        source, mask = modules[name].kernel_name, masks[name]
        say(f"{source} -> {path}" + ("" if mask is not None else " (no mask in the file: stays dense)"))
        kept = np.ones(shapes[path]) if mask is None else converted_kernel(source, mask, path, shapes[path], order)
        found[path] = kept
    return Masks({path: found[path] for path in shapes})


def _kinds(layers: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Kind]:
    """Layer path -> kind, from its weight's path and shape."""
    return {layer: kernel_kind(path.rpartition("/")[2], shapes[path]) for layer, path in layers.items()}


def _prunable_kinds(
    modules: Mapping[str, TorchModule],
    masks: Mapping[str, np.ndarray | None],
    ours: Mapping[str, Kind],
    unprunable: Iterable[Kind],
) -> dict[str, Kind]:
    """Module -> kind, without as many unpruned modules of a kind that only unprunable kernels have as there are."""
    left = Counter(kind for kind in unprunable if kind not in ours.values())
    found = {}
    for name, kind in kernel_kinds(modules).items():
        mask = masks[name]
        if left[kind] and (mask is None or np.all(mask)):
            left[kind] -= 1
        else:
            found[name] = kind
    return found


def _layers_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Layer path -> weight path; a second weight of a layer keeps its whole path."""
    layers: dict[str, str] = {}
    for path in shapes:
        layer = path_of_layer(path)
        layers[path if layer in layers else layer] = path
    return layers


def path_of_layer(path: str) -> str:
    """The path of the layer that a weight belongs to."""
    return path.rpartition("/")[0]


def _given_pairs(
    names: Mapping[str, str], modules: Mapping[str, TorchModule], layers: Mapping[str, str]
) -> dict[str, str]:
    """Module -> layer path, from a map of names in the file to weight paths.

    Raises:
      TostError: a name or a path is not known.
    """
    by_path = {path: layer for layer, path in layers.items()}
    pairs, unknown = {}, []
    for name, path in names.items():
        module = module_name(name, modules)
        layer = by_path.get(path)
        unknown += [name] if module is None else []
        unknown += [path] if layer is None else []
        pairs[module] = layer
    if unknown:
        raise TostError(f"the name map has {shown(unknown)}, which neither the file nor the model knows")
    return pairs


def require_order(path: str, order: Order | None) -> None:
    """Raises `TostError` if PyTorch's order of a layer's input features is unknown."""
    if order is not None and not order.has_known_channels:
        raise TostError(
            f"{path} cannot be read from PyTorch: {order.reason or 'a reshape before it is not understood'}; leave "
            "the layer out (with dense_layers or new_layers), or convert its weights yourself"
        )


def _masks_there(modules: Mapping[str, TorchModule]) -> dict[str, np.ndarray | None]:
    """Module -> its mask in PyTorch's layout, `None` for a module that was not pruned."""
    kernels = {name: module for name, module in modules.items() if module.has_kernel}
    if any("weight_mask" in module.parts for module in modules.values()):
        _require_kernels_only(modules, ("weight_mask", "bias_mask"))
        return {
            name: module.kernel if module.mask is None and not module.has_weights else module.mask
            for name, module in kernels.items()
        }
    values = {name: module.kernel for name, module in kernels.items()}
    # Weights have both signs; a mask with other values than zeros and ones is refused later.
    if any((array < 0).any() for array in values.values() if array.dtype.kind in "if"):
        if all(array.all() for array in values.values()):
            raise TostError("the file has neither masks nor weights that are zero: it defines no mask")
        return {name: array != 0 for name, array in values.items()}
    _require_kernels_only(modules, ("weight", "bias"))
    return values


def _require_kernels_only(modules: Mapping[str, TorchModule], parts: tuple[str, ...]) -> None:
    """Raises `TostError` if masks prune biases or parameters of a normalisation."""
    for module in modules.values():
        for part in parts:
            mask = module.parts.get(part)
            if mask is not None and mask.ndim < 2 and not mask.all():
                zeros = int((mask == 0).sum())
                raise TostError(
                    f"{module.names[part]} prunes {zeros} of {mask.size} parameters that are not in a kernel, but "
                    "biases and normalisations are never pruned here: remove it from the file to keep them"
                )
