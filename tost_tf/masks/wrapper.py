"""The pruning wrapper with a mask that never changes."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras, pruning_wrapper, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import kernel_name

# Attribute of a kernel -> attributes of the regulariser and the constraint that the layer creates it with.
KERNEL_OPTIONS = {
    "kernel": ("kernel_regularizer", "kernel_constraint"),
    "depthwise_kernel": ("depthwise_regularizer", "depthwise_constraint"),
    "pointwise_kernel": ("pointwise_regularizer", "pointwise_constraint"),
}
# Attribute of a masked kernel that holds its mask, for those who are given the kernel alone, such as optimizers.
MASK_ATTRIBUTE = "tost_tf_mask"


def mask_of(kernel: tf.Variable) -> tf.Variable | None:
    """The mask of a kernel that a `FixedMask` masks, `None` of any other variable."""
    return getattr(kernel, MASK_ATTRIBUTE, None)


@keras.utils.register_keras_serializable("tost_tf")
class FixedMask(pruning_wrapper()):
    """A layer that computes with exactly the weights of a fixed 0/1 mask, whoever writes its kernel.

    A `PruneLowMagnitude` of tensorflow-model-optimization, so that its `strip_pruning`, its `PruningSummaries` and
    `collect_prunable_layers` know it. Unlike the stock wrapper it decides nothing during training: `call` lends the
    layer `kernel * mask`, so that pruned weights have no part in the output and get exactly no gradient. What an
    optimizer computes from gradients and weights (norms, clipping, averages) is that of a network without them. No
    `UpdatePruningStep` is needed.

    Args:
      layer: a layer with a prunable kernel (a convolution or Dense) that is not built yet.
      **kwargs: as for any Keras layer.

    Attributes:
      dense_gradients: whether pruned weights get the gradient they would have without a mask, for growing weights by
        it; to be set before a training step is traced, for an optimizer that masks its steps (see `MaskedOptimizer`).

    Raises:
      TostError: the layer has no prunable kernel, or is built already.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs):
        self.kernel_name = kernel_name(layer)
        self.dense_gradients = False
        if self.kernel_name is None:
            raise TostError(f"the layer {layer.name!r} ({type(layer).__name__}) has no prunable kernel")
        if layer.built:
            raise TostError(f"the layer {layer.name!r} is built already: wrap a fresh copy made from its config")
        name = self.kernel_name
        layer.get_prunable_weights = lambda: [getattr(layer, name)]  # what PruneLowMagnitude asks a layer for
        kwargs.pop("name", None)  # PruneLowMagnitude makes the name from the layer's
        kwargs.setdefault("dtype", layer.dtype_policy)  # so that what passes is not cast there and back
        super().__init__(layer, **kwargs)

    def build(self, input_shape):
        # The kernel is created with a regulariser and a constraint that see it masked; the layer keeps its own.
        attributes = KERNEL_OPTIONS[self.kernel_name]
        own = [getattr(self.layer, attribute) for attribute in attributes]
        regularizer, constraint = own
        if regularizer is not None:
            setattr(self.layer, attributes[0], lambda kernel: regularizer(self._masked(kernel)))
        if constraint is not None:
            setattr(self.layer, attributes[1], lambda kernel: self._masked(constraint(kernel)))
        super().build(input_shape)
        for attribute, value in zip(attributes, own, strict=True):
            setattr(self.layer, attribute, value)
        setattr(self.kernel, MASK_ATTRIBUTE, self.mask)

    def _masked(self, kernel: tf.Tensor) -> tf.Tensor:
        return tf.where(self.mask > 0, kernel, tf.zeros_like(kernel))  # a product would keep what is not a number

    @property
    def kernel(self) -> tf.Variable:
        """The masked kernel."""
        return getattr(self.layer, self.kernel_name)

    @property
    def mask(self) -> tf.Variable:
        """The mask, of the kernel's shape, 1 = kept."""
        return self.pruning_vars[0][1]

    def set_mask(self, mask: np.ndarray) -> None:
        """Puts another mask in place and sets the weights it drops to zero."""
        self.mask.assign(mask)
        self.apply_mask()

    def apply_mask(self) -> None:
        """Sets the weights the mask drops to zero, for weights that came from elsewhere."""
        self.kernel.assign(self._masked(self.kernel))

    def set_weights(self, weights):
        super().set_weights(weights)
        self.apply_mask()

    def call(self, inputs):
        kernel = self.kernel
        mask = self._masked_forwards if self.dense_gradients else self._masked
        # As tensorflow-model-optimization's QuantizeWrapper does: a layer computes with what its attribute holds.
        self.layer.__dict__[self.kernel_name] = mask(kernel)
        try:
            return self.layer(inputs)
        finally:
            self.layer.__dict__[self.kernel_name] = kernel

    def _masked_forwards(self, kernel: tf.Variable) -> tf.Tensor:
        """The masked kernel, with the gradient of one that is not."""
        values = tf.convert_to_tensor(kernel)
        return values + tf.stop_gradient(self._masked(values) - values)

    def get_config(self):
        # A wrapper's config alone: the pruning schedule of PruneLowMagnitude is not used.
        return keras.layers.Wrapper.get_config(self)

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        layer = keras.layers.deserialize(config.pop("layer"))
        return cls(layer, **config)
