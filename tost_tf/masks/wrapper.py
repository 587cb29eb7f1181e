"""The pruning wrapper with a mask that training steps do not change."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.layers import called_like, shapes_by_argument
from tost_tf.compat.saving import serialized
from tost_tf.compat.tfmot import pruning_wrapper
from tost_tf.errors import TostError
from tost_tf.graph.kernels import is_prunable, kernels_in, kind_of
from tost_tf.graph.lent import lent

# Attribute of a masked kernel that holds its mask, for code that gets only the kernel, such as optimizers.
MASK_ATTRIBUTE = "tost_tf_mask"


def mask_of(kernel: tf.Variable) -> tf.Variable | None:
    """The mask of a kernel in a `FixedMask`, `None` for any other variable."""
    return getattr(kernel, MASK_ATTRIBUTE, None)


@dataclasses.dataclass(frozen=True)
class MaskedKernel:
    """A kernel and its mask, of the same shape, 1 = kept."""

    kernel: tf.Variable
    mask: tf.Variable

    def masked(self, kernel: tf.Tensor) -> tf.Tensor:
        """`kernel` with zeros where the mask has them."""
        return tf.where(self.mask > 0, kernel, tf.zeros_like(kernel))  # a product would keep NaN

    def masked_forwards(self) -> tf.Tensor:
        """The masked kernel, with the gradient of the kernel without mask."""
        values = tf.convert_to_tensor(self.kernel)
        return values + tf.stop_gradient(self.masked(values) - values)

    def set_mask(self, mask: np.ndarray) -> None:
        """Replaces the mask and sets the weights it drops to zero."""
        self.mask.assign(mask)
        self.apply_mask()

    def apply_mask(self) -> None:
        """Sets the weights the mask drops to zero, after the kernel was set from elsewhere."""
        self.kernel.assign(self.masked(self.kernel))


@keras.utils.register_keras_serializable("tost_tf")
class FixedMask(pruning_wrapper()):
    """A layer that computes only with the weights that a 0/1 mask keeps, whatever is written into its kernel.

    It is a `PruneLowMagnitude` of tensorflow-model-optimization, so `strip_pruning`, `PruningSummaries` and
    `collect_prunable_layers` recognise it. Unlike the original it decides nothing during training: in `call` the
    layer uses the masked kernel, so pruned weights do not affect the output and their gradient is exactly zero. What an
    optimizer computes from gradients and weights (norms, clipping, averages) is as in a network without them. No
    `UpdatePruningStep` is needed.

    Args:
      layer: a layer with prunable kernels (see `registry.KERNEL_KINDS`) that is not built yet.
      first_masks: called with the wrapper once it is built, to set its masks; no part of its config.
      **kwargs: as for any Keras layer.

    Attributes:
      dense_gradients: whether pruned weights get the gradient they would have without a mask, so that weights can grow
        by it. Set it before a training step is traced, and use an optimizer that masks its steps (`MaskedOptimizer`).

    Raises:
      TostError: the layer has no prunable kernel, or is already built.
    """

    def __init__(self, layer: keras.layers.Layer, *, first_masks: Callable[[FixedMask], None] | None = None, **kwargs):
        self.dense_gradients = False
        if not is_prunable(layer):
            raise TostError(f"the layer {layer.name!r} ({type(layer).__name__}) has no prunable kernel")
        if layer.built:
            raise TostError(f"the layer {layer.name!r} is already built: wrap a new copy made from its config")
        # PruneLowMagnitude calls this method of the layer.
        layer.get_prunable_weights = lambda: [kernel.variable for kernel in kernels_in(layer)]
        kwargs.pop("name", None)  # PruneLowMagnitude makes the name from the layer's
        kwargs.setdefault("dtype", layer.dtype_policy)  # otherwise inputs would be cast back and forth
        super().__init__(layer, **kwargs)
        called_like(self)
        self._first_masks = first_masks
        self.supports_masking = layer.supports_masking
        self.stateful = getattr(layer, "stateful", False)

    def __call__(self, *args, **kwargs):
        if not self.built:
            self._make_weights(shapes_by_argument(self.layer, args, kwargs))
        return super().__call__(*args, **kwargs)

    def _make_weights(self, shapes: dict[str, tf.TensorShape]) -> None:
        """Creates the weights of a layer that needs the shapes of all its arguments for it."""
        kind = kind_of(self.layer)
        if kind.build is not None:
            kind.make_parts(self.layer, shapes)
            with self._kernels_made_masked(), tf.name_scope(self.name), tf.name_scope(self.layer.name):
                kind.build(self.layer, shapes)

    def build_from_config(self, config):
        # A file has only the shape of the first argument. If that is not enough, the layer is built when it is called.
        if kind_of(self.layer).build is None:
            super().build_from_config(config)

    def build(self, input_shape):
        # Weights of layers in the layer get its name; a layer's direct kernels have always had the wrapper's name.
        has_parts = any(kernel.holder is not self.layer for kernel in kernels_in(self.layer))
        with self._kernels_made_masked(), tf.name_scope(self.layer.name) if has_parts else contextlib.nullcontext():
            if not self.layer.built:
                self.layer.build(input_shape)
        super().build(input_shape)
        for masked in self.masked_kernels.values():
            setattr(masked.kernel, MASK_ATTRIBUTE, masked.mask)
        if self._first_masks is not None:
            with tf.init_scope():
                self._first_masks(self)

    @contextlib.contextmanager
    def _kernels_made_masked(self) -> Iterator[None]:
        """Inside the block, new kernels get a regulariser and constraint for the masked kernel; layers keep theirs."""
        with contextlib.ExitStack() as undo:
            for kernel in kernels_in(self.layer):
                for option, masked in zip(kernel.options, (self._regularizer_of, self._constraint_of), strict=True):
                    own = getattr(kernel.holder, option)
                    if own is not None:
                        setattr(kernel.holder, option, masked(kernel.name, own))
                        undo.callback(setattr, kernel.holder, option, own)
            yield

    def _regularizer_of(self, name: str, regularizer: Callable) -> Callable:
        return lambda kernel: regularizer(self.masked_kernels[name].masked(kernel))

    def _constraint_of(self, name: str, constraint: Callable) -> Callable:
        return lambda kernel: self.masked_kernels[name].masked(constraint(kernel))

    def add_weight(self, name=None, *args, **kwargs):
        # PruneLowMagnitude gives the masks of all kernels the same name, but an HDF5 file needs different names.
        taken = sum(weight.name.split("/")[-1].startswith(str(name)) for weight in self._non_trainable_weights)
        return super().add_weight(f"{name}_{taken}" if taken else name, *args, **kwargs)

    @property
    def masked_kernels(self) -> dict[str, MaskedKernel]:
        """The kernels with their masks, by their names in the layer, once the layer is built."""
        named = zip(kernels_in(self.layer), self.pruning_vars, strict=True)
        return {kernel.name: MaskedKernel(variable, mask) for kernel, (variable, mask, _) in named}

    @property
    def _only(self) -> MaskedKernel:
        (masked,) = self.masked_kernels.values()
        return masked

    @property
    def kernel(self) -> tf.Variable:
        """The masked kernel, of a layer with one."""
        return self._only.kernel

    @property
    def mask(self) -> tf.Variable:
        """The mask of a layer with one kernel."""
        return self._only.mask

    def set_mask(self, mask: np.ndarray) -> None:
        """As `MaskedKernel.set_mask`, of a layer with one kernel."""
        self._only.set_mask(mask)

    def apply_mask(self) -> None:
        """Sets the weights the masks drop to zero, after weights were set from elsewhere."""
        for masked in self.masked_kernels.values():
            masked.apply_mask()

    def set_weights(self, weights):
        super().set_weights(weights)
        self.apply_mask()

    def call(self, *args, **kwargs):
        kernels = zip(kernels_in(self.layer), self.masked_kernels.values(), strict=True)
        with lent((kernel.holder, kernel.attribute, self._lent_value(masked)) for kernel, masked in kernels):
            return self.layer(*args, **kwargs)

    def _lent_value(self, masked: MaskedKernel) -> tf.Tensor:
        return masked.masked_forwards() if self.dense_gradients else masked.masked(masked.kernel)

    def __repr__(self) -> str:
        masks = {name: masked.mask.numpy() for name, masked in self.masked_kernels.items()} if self.built else {}
        shares = ", ".join(f"{name} {1 - mask.mean():.2%} zero" for name, mask in masks.items()) or "not built"
        return f"<{type(self).__name__} of {self.layer.name}: {shares}>"

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def reset_states(self, states=None):
        """Resets the states of a stateful recurrent layer."""
        self.layer.reset_states(states)

    def get_config(self):
        # A wrapper's config alone: the pruning schedule of PruneLowMagnitude is not used.
        return keras.layers.Wrapper.get_config(self) | {"layer": serialized(self.layer)}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        layer = keras.layers.deserialize(config.pop("layer"))
        return cls(layer, **config)
