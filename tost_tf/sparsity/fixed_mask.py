"""The pruning wrapper with a mask that never changes."""

import numpy as np

from tost_tf.compat import PruneLowMagnitude, keras, tf
from tost_tf.errors import TostError
from tost_tf.masks.prunable import kernel_name

# Attribute of a kernel -> attribute of the constraint the layer creates it with.
CONSTRAINTS = {
    "kernel": "kernel_constraint",
    "depthwise_kernel": "depthwise_constraint",
    "pointwise_kernel": "pointwise_constraint",
}


@keras.utils.register_keras_serializable("tost_tf")
class FixedMask(PruneLowMagnitude):
    """A layer whose kernel keeps exactly the weights of a fixed 0/1 mask, at every moment.

    A `PruneLowMagnitude` of tensorflow-model-optimization, so that its `strip_pruning`, its `PruningSummaries` and
    `collect_prunable_layers` know it. Unlike the stock wrapper it decides nothing during training: the mask is held
    by a constraint on the kernel, which the optimizer applies after each update, and `call` just calls the layer.
    No `UpdatePruningStep` is needed, and nothing is added to the forward and backward pass.

    Args:
      layer: a layer with a prunable kernel (a convolution or Dense) that is not built yet.
      **kwargs: as for any Keras layer.

    Raises:
      TostError: the layer has no prunable kernel, or is built already.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs):
        self.kernel_name = kernel_name(layer)
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
        # The kernel is created with the constraint; the layer's config keeps its own, if it has one.
        attribute = CONSTRAINTS[self.kernel_name]
        own_constraint = getattr(self.layer, attribute)
        setattr(self.layer, attribute, lambda kernel: self._masked(kernel, own_constraint))
        super().build(input_shape)
        setattr(self.layer, attribute, own_constraint)

    def _masked(self, kernel, own_constraint):
        if own_constraint is not None:
            kernel = own_constraint(kernel)
        return kernel * tf.cast(self.mask, kernel.dtype)

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
        self.kernel.assign(tf.where(self.mask > 0, self.kernel, tf.zeros_like(self.kernel)))

    def set_weights(self, weights):
        super().set_weights(weights)
        self.apply_mask()

    def call(self, inputs):
        return self.layer(inputs)

    def get_config(self):
        # A wrapper's config alone: the pruning schedule of PruneLowMagnitude is not used.
        return keras.layers.Wrapper.get_config(self)

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        layer = keras.layers.deserialize(config.pop("layer"))
        return cls(layer, **config)
