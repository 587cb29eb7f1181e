"""Names that users write, and what they stand for; there is one registry for each kind of thing.

A new thing is one file and one line: in this file if it belongs to the project, else
`tost_tf.register(kind, name, value)`.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from tost_tf.errors import TostError, unknown_name

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Named values of one kind, each imported when it is first used.

    The project's entries are written as `"package.module:value"`, so that names can be checked without importing
    TensorFlow.

    Args:
      kind: what the entries are, for error messages: "model", "mask", ...
      entries: name -> `"package.module:value"`.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]):
        self.kind = kind
        self._entries: dict[str, str | T] = dict(entries)

    def register(self, name: str, value: T) -> T:
        """Adds `value` as `name` and returns it. Raises `TostError` if the name is in use."""
        if name in self._entries:
            raise TostError(f"the {self.kind} {name!r} already exists: register yours under another name")
        self._entries[name] = value
        return value

    @contextlib.contextmanager
    def temporarily(self, name: str, value: T) -> Iterator[None]:
        """Inside the `with` block, `name` stands for `value`, even if the name is in use."""
        before = dict(self._entries)
        self._entries[name] = value
        try:
            yield
        finally:
            self._entries = before

    def check(self, name: str) -> None:
        """Raises `TostError` with the known names, and the most similar one, if `name` is not among them."""
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)

    def __getitem__(self, name: str) -> T:
        self.check(name)
        entry = self._entries[name]
        if isinstance(entry, str):
            module, attribute = entry.split(":")
            entry = self._entries[name] = getattr(importlib.import_module(module), attribute)
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _entries(module: str, names: str) -> dict[str, str]:
    """Entries whose names are those of the values in a module."""
    return {name: f"tost_tf.{module}:{name}" for name in names.split()}


# (input_shape, num_classes, width_multiplier) -> a functional model with logits as output.
MODELS: Registry[Any] = Registry(
    "model",
    _entries("models.cifar_resnet", "resnet8 resnet20 resnet32 resnet32x2 resnet44 resnet56 resnet104 resnet110")
    | _entries("models.resnet", "resnet18 resnet34 resnet50 resnet101 resnet152")
    | _entries("models.vgg", "vgg16 vgg19")
    | _entries("models.mobilenet", "mobilenet"),
)

# `DataConfig` -> `ImageData`. Any other name is looked up in tensorflow-datasets.
DATASETS: Registry[Any] = Registry(
    "dataset",
    {
        "digits": "tost_tf.data.digits:load_digits",
        "tiny_imagenet": "tost_tf.data.tiny_imagenet:load_tiny_imagenet",
    },
)

# (path, `DataConfig`) -> `ImageData`, named by the part before the colon of a dataset: "npz:FILE".
DATA_SOURCES: Registry[Any] = Registry(
    "data source", {"folder": "tost_tf.data.from_folder:load_folder", "npz": "tost_tf.data.from_npz:load_npz"}
)

# `MaskMethod`s.
MASKS: Registry[Any] = Registry(
    "mask",
    {
        name: f"tost_tf.masks.{name}:METHOD"
        for name in ("random", "erk", "magnitude", "snip", "grasp", "synflow", "lottery", "zeros")
    },
)

# Classes of `Pattern`: which weights are kept or removed together. The first is the most specific.
MASK_PATTERNS: Registry[Any] = Registry(
    "mask pattern",
    {
        "channels": "tost_tf.masks.patterns.channels:Channels",
        "block": "tost_tf.masks.patterns.block:Block",
        "N:M": "tost_tf.masks.patterns.n_of_m:NOfM",
        "fan_in": "tost_tf.masks.patterns.fan_in:FanIn",
        "unstructured": "tost_tf.masks.patterns.unstructured:Unstructured",
    },
)

# `DynamicMethod`s: which weights the mask loses and which it gains.
DYNAMIC_METHODS: Registry[Any] = Registry(
    "dynamic method",
    {name: f"tost_tf.dynamic.{name}:METHOD" for name in ("set", "rigl", "granet")},
)

# `Growth`s: which weights grow.
GROWTHS: Registry[Any] = Registry(
    "growth", {"random": "tost_tf.dynamic.growth:RANDOM", "gradient": "tost_tf.dynamic.growth:GRADIENT"}
)

# `OptimizerMethod`s.
OPTIMIZERS: Registry[Any] = Registry("optimizer", _entries("training.optimizer_methods", "sgd orthogonal lars adamw"))

# `OptimizerTweak`s: changes to the steps of any optimizer.
OPTIMIZER_TWEAKS: Registry[Any] = Registry(
    "optimizer tweak", {name: f"tost_tf.training.{name}:TWEAK" for name in ("ham", "sparse_opt", "s2_sam", "sign_in")}
)

# Progress of the training -> the factor of the learning rate.
RATE_SCHEDULES: Registry[Any] = Registry("learning-rate schedule", _entries("training.learning_rate", "cosine"))

# `KernelKind`s: where layers hold the kernels that can be pruned. The first one for a layer's class is used.
KERNEL_KINDS: Registry[Any] = Registry(
    "kernel kind",
    {
        name: f"tost_tf.graph.kernel_kinds.{place}"
        for name, place in {
            "transposed convolution": "convolution:TRANSPOSED",  # subclasses of the plain ones
            "convolution": "convolution:PLAIN",
            "depthwise convolution": "convolution:DEPTHWISE",
            "separable convolution": "convolution:SEPARABLE",
            "dense": "dense:KIND",
            "einsum": "einsum:KIND",
            "attention": "attention:KIND",
            "recurrent": "recurrent:KIND",
            "recurrent cell": "recurrent:CELL",
            "stacked cells": "recurrent:STACK",
            "bidirectional": "recurrent:BIDIRECTIONAL",
            "time-distributed": "time_distributed:KIND",
        }.items()
    },
)

# (x, β) -> the soft neuron's output, or a class of `GhostNeuron`.
GHOST_NEURONS: Registry[Any] = Registry(
    "ghost neuron", _entries("ghost.neurons", "pswish mish") | {"dyrelu": "tost_tf.ghost.dyrelu:GhostDyReLU"}
)

# (channels, strides, kernel_initializer) -> the layers of the skip, applied to the block's input.
GHOST_SKIPS: Registry[Any] = Registry("ghost skip", _entries("ghost.skips", "projection identity"))

# (a block's output, its skip, α, a draw, training) -> the sum of both.
GHOST_GATES: Registry[Any] = Registry(
    "gate of ghost skips", _entries("ghost.gates", "scaled stochastic variance_preserving")
)

# Progress of the ghost phase -> α, the remaining strength of the ghosts.
GHOST_SCHEDULES: Registry[Any] = Registry(
    "ghost schedule", _entries("ghost.schedules", "linear delayed cosine exponential constant")
)

# (start, end, fraction of the ghosts that is left) -> β.
BETA_SCHEDULES: Registry[Any] = Registry(
    "schedule of β", _entries("ghost.beta_schedules", "linear inverse logarithmic")
)

# `Format`s of exports. A name may have a precision as its second word.
FORMATS: Registry[Any] = Registry(
    "format",
    {
        "saved_model": "tost_tf.export.to_saved_model:FORMAT",
        "keras3": "tost_tf.export.to_keras3_file:FORMAT",
        "tflite float32": "tost_tf.export.to_tflite:FLOAT32",
        "tflite float16": "tost_tf.export.to_tflite:FLOAT16",
        "tflite int8": "tost_tf.export.to_tflite:INT8",
    },
)

# `Analysis`es of a trained network.
ANALYSES: Registry[Any] = Registry(
    "analysis",
    {
        "activations": "tost_tf.analysis.activations:ANALYSIS",
        "hessian": "tost_tf.analysis.hessian:ANALYSIS",
        "eigenvector": "tost_tf.analysis.eigenvector:ANALYSIS",
        "weights": "tost_tf.analysis.landscape:WEIGHTS",
        "inputs": "tost_tf.analysis.landscape:INPUTS",
        "mask": "tost_tf.analysis.mask_statistics:ANALYSIS",
        "trajectory": "tost_tf.analysis.trajectory:ANALYSIS",
        "gradient_flow": "tost_tf.analysis.gradient_flow:ANALYSIS",
    },
)

REGISTRIES: Mapping[str, Registry[Any]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "data_source": DATA_SOURCES,
    "mask": MASKS,
    "mask_pattern": MASK_PATTERNS,
    "dynamic": DYNAMIC_METHODS,
    "growth": GROWTHS,
    "optimizer": OPTIMIZERS,
    "optimizer_tweak": OPTIMIZER_TWEAKS,
    "learning_rate_schedule": RATE_SCHEDULES,
    "kernel_kind": KERNEL_KINDS,
    "ghost_neurons": GHOST_NEURONS,
    "ghost_skips": GHOST_SKIPS,
    "ghost_skip_gate": GHOST_GATES,
    "ghost_schedule": GHOST_SCHEDULES,
    "beta_schedule": BETA_SCHEDULES,
    "format": FORMATS,
    "analysis": ANALYSES,
}


def register(kind: str, name: str, value: Any) -> Any:
    """Registers a user's thing under a name, for use in Python and in commands started from the same script.

    Args:
      kind: a name in `REGISTRIES`, such as "mask"; the comment at its registry says what `value` must be.
      name: a name that is not in use.
      value: the thing.

    Returns:
      `value`.

    Raises:
      TostError: there is no such kind, or the name is in use.

    Examples:
      >>> def my_loader(config):
      ...     "A function of `DataConfig` that returns an `ImageData`."
      >>> loader = tost.register("dataset", "mine", my_loader)  # then: --dataset=mine
    """
    if kind not in REGISTRIES:
        raise unknown_name("kind", kind, REGISTRIES)
    return REGISTRIES[kind].register(name, value)
