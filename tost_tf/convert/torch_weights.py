"""Loads the weights of a network trained in PyTorch into the same network here."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.convert.torch_layout import converted_kernel, kernel_kind, kernel_kinds
from tost_tf.convert.torch_masks import INSIDE, path_of_layer, require_order
from tost_tf.convert.torch_match import Kind, match
from tost_tf.convert.torch_order import Order, input_orders, reordered
from tost_tf.convert.torch_state import TorchModule, module_name, modules_of, shown
from tost_tf.errors import NotFinite, TostError
from tost_tf.graph.copy import unwrapped_layer
from tost_tf.graph.kernels import walk

# Class of a layer -> the name here of each part of a PyTorch module.
NORMALIZATION = {"weight": "gamma", "bias": "beta"}
STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}
PARTS = {
    **{f"Conv{n}D": {"weight": "kernel", "bias": "bias"} for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": {"weight": "kernel", "bias": "bias"} for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": {"weight": "depthwise_kernel", "bias": "bias"} for n in (1, 2)},
    "Dense": {"weight": "kernel", "bias": "bias"},
    "Embedding": {"weight": "embeddings"},
    "BatchNormalization": NORMALIZATION | STATISTICS,
    "LayerNormalization": NORMALIZATION,
}
# The value that a parameter must have if the layer here does not have it.
NEUTRAL = {"weight": 1, "bias": 0}
PYTORCH_EPSILON = 1e-5  # of its normalisations, by default

Layers = dict[str, "keras.layers.Layer"]


def load_torch_weights(
    model: keras.Model,
    arrays: Mapping[str, np.ndarray],
    names: Mapping[str, str] | None = None,
    new_layers: str = "",
    say: Callable[[str], None] = logging.info,
) -> None:
    """Loads the weights in a PyTorch state dict into `model`: kernels, biases, and parameters of normalisations.

    Parameters with a mask of `torch.nn.utils.prune` are masked. `match` says how modules are matched with layers.
    Everything is checked before the first weight is changed.

    Args:
      model: a functional or Sequential tf_keras model, the same network.
      arrays: PyTorch name ("layer1.0.conv1.weight") -> array in PyTorch's layout.
      names: PyTorch name -> weight path, if names, order and shape are not enough.
      new_layers: regular expression of the paths of layers that keep their current weights; up to as many modules in
        the file are ignored.
      say: called with a line for each pair of names.

    Raises:
      TostError: the file has too few or too many arrays, a value is not finite, or a layer cannot be converted.
    """
    modules = modules_of(arrays)
    every = {path: unwrapped_layer(layer) for path, layer in walk(model) if layer.weights}
    layers = {path: layer for path, layer in every.items() if not (new_layers and re.search(new_layers, path))}
    kinds = {path: _kind_here(path, layer) for path, layer in layers.items()}
    given = _given(dict(names or {}), modules, kinds)
    pairs = match(_kinds_there(modules), kinds, given, spare=len(every) - len(layers))
    orders, values = input_orders(model), []
    for path, name in pairs.items():
        values += _values(modules[name], path, layers[path], orders.get(path, INSIDE))
        say(f"{name} -> {path}")
    for name in sorted(set(modules) - set(pairs.values())):
        say(f"{name} is ignored")
    for variable, value in values:
        variable.assign(value)
    _warn_of_epsilon(layers)


def _parts_of(path: str, layer: keras.layers.Layer) -> dict[str, str]:
    parts = PARTS.get(type(layer).__name__)
    if parts is None:
        raise TostError(
            f"the weights of {path} ({type(layer).__name__}) cannot be read from PyTorch, only those of "
            f"{', '.join(PARTS)}: name it with new_layers to initialise it"
        )
    return parts


def _kind_here(path: str, layer: keras.layers.Layer) -> Kind:
    attribute = _parts_of(path, layer)["weight"]
    if attribute == "gamma":
        return (type(layer).__name__, *layer.weights[0].shape)
    return kernel_kind(attribute, tuple(getattr(layer, attribute).shape))


def _kinds_there(modules: Mapping[str, TorchModule]) -> dict[str, Kind]:
    kinds = kernel_kinds(modules)
    for name, module in modules.items():
        if name in kinds:
            continue
        statistics, scale = module.parts.get("running_mean"), module.kernel
        if statistics is not None:
            kinds[name] = ("BatchNormalization", *statistics.shape)
        elif scale is not None or module.bias is not None:
            kinds[name] = ("LayerNormalization", *(module.bias if scale is None else scale).shape)
    return kinds


def _given(names: Mapping[str, str], modules: Mapping[str, TorchModule], kinds: Mapping[str, Kind]) -> dict[str, str]:
    pairs = {name: (module_name(name, modules), path_of_layer(path)) for name, path in names.items()}
    unknown = [name for name, (module, _) in pairs.items() if module is None]
    unknown += [names[name] for name, (_, path) in pairs.items() if path not in kinds]
    if unknown:
        raise TostError(f"the name map has {shown(unknown)}, which neither the file nor the model knows")
    return dict(pairs.values())


def _values(
    module: TorchModule, path: str, layer: keras.layers.Layer, order: Order | None
) -> list[tuple[tf.Variable, np.ndarray]]:
    """The variables of a layer, each with its new value."""
    found = []
    require_order(path, order)
    for part, attribute in _parts_of(path, layer).items():
        variable = getattr(layer, attribute, None)
        array = {"weight": module.kernel, "bias": module.bias}.get(part, module.parts.get(part))
        if variable is None:
            if array is not None and np.any(array != NEUTRAL[part]):
                raise TostError(f"{module.name} has a {part} in the file, but {path} has none here")
            continue
        if array is None:
            raise TostError(f"{module.name} has no {part} in the file, which {path}/{attribute} needs")
        name, shape = module.names.get(part, f"{module.name}.{part}"), tuple(variable.shape)
        if part == "weight" and array.ndim > 1:
            value = converted_kernel(name, array, f"{path}/{attribute}", shape, order)
        else:
            if array.shape != shape:
                raise TostError(f"{name} has shape {list(array.shape)}, {path}/{attribute} has {list(shape)}")
            value = array if part == "bias" and module.has_kernel else reordered(array, order)
        if not np.isfinite(value).all():
            raise NotFinite(f"{name} is not finite everywhere")
        found.append((variable, value.astype(variable.dtype.as_numpy_dtype)))
    return found


def _warn_of_epsilon(layers: Layers) -> None:
    epsilons = {path: getattr(layer, "epsilon", PYTORCH_EPSILON) for path, layer in layers.items()}
    others = [path for path, epsilon in epsilons.items() if not math.isclose(epsilon, PYTORCH_EPSILON, rel_tol=1e-3)]
    if others:
        logging.warning(
            "%s has epsilon=%g, but PyTorch's default is %g: unless it was set there, logits will differ",
            shown(others),
            epsilons[others[0]],
            PYTORCH_EPSILON,
        )
