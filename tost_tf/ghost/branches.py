"""The layer of ghost branches: parallel kernels under one mask, each with its own BatchNormalization."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.saving import serialized
from tost_tf.graph.copy import copy_layer, unwrapped_layer
from tost_tf.graph.kernels import kernels_in
from tost_tf.graph.lent import lent
from tost_tf.masks.wrapper import MASK_ATTRIBUTE, mask_of
from tost_tf.seeds import derive_seed

# Their kernels can be joined to one kernel; the attribute is the number of outputs.
JOINED = {keras.layers.Conv1D: "filters", keras.layers.Conv2D: "filters", keras.layers.Conv3D: "filters"}
JOINED |= {keras.layers.Dense: "units"}


@keras.utils.register_keras_serializable("tost_tf")
class GhostBranches(keras.layers.Layer):
    """The sum of K branches, each a convolution or Dense layer with a kernel of its own, and a BatchNormalization.

    The first branch is a layer of the network and the BatchNormalization that follows it; the layer's mask is that of
    all kernels, and its bias is added in all branches. A new branch starts with normally distributed weights, scaled so
    that each filter has the norm it has in the first branch, and with the first one's gamma. If that has seen images
    (its moving statistics are not those of a new layer), new gammas start at zero instead: the network goes on from
    what it has learned.

    The kernels are joined to one with K times the filters, for one convolution. Those of grouped, depthwise and
    transposed convolutions are not, as their filters are in another order or on another axis; a depthwise convolution
    with twice the multiplier takes more than four times as long on a CPU as two of them, with gradients.

    Args:
      layer: a convolution or Dense layer without activation, or a `FixedMask` around one.
      normalization: the BatchNormalization, with gamma and beta.
      branches: K, at least 2.
      seed: of the weights of new branches.
      **kwargs: as for any Keras layer.

    Attributes:
      merged: a variable, whether `tost_tf.ghost.merge` has put the sum into the first branch; then the others are zero.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        normalization: keras.layers.BatchNormalization,
        branches: int = 2,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.layer, self.normalization, self.branches, self.seed = layer, normalization, branches, seed
        self.new_normalizations = [
            copy_layer(normalization, name=f"{normalization.name}_branch_{number}") for number in range(1, branches)
        ]
        self.new_kernels: list[tf.Variable] = []
        with tf.name_scope(self.name):  # an HDF5 file has no two weights of one name
            self.merged = self.add_weight("merged", (), tf.bool, "zeros", trainable=False)

    def build(self, input_shape):
        own = unwrapped_layer(self.layer)
        if not self.layer.built:
            self.layer.build(input_shape)
        output_shape = own.compute_output_shape(input_shape)
        if not self.normalization.built:
            self.normalization.build(output_shape)
        for number, normalization in enumerate(self.new_normalizations, 1):
            with tf.name_scope(f"branch_{number}"):
                self.new_kernels.append(self._new_kernel(number))
            with tf.name_scope(normalization.name):
                normalization.build(output_shape)
        self._start()
        super().build(input_shape)

    @property
    def first_kernel(self) -> tf.Variable:
        """That of the layer of the network."""
        return kernels_in(unwrapped_layer(self.layer))[0].variable

    @property
    def output_axes(self) -> tuple[int, ...]:
        """The axes of a kernel's filters, counted from the end."""
        return kernels_in(unwrapped_layer(self.layer))[0].axes[1]

    @property
    def kernels(self) -> list[tf.Variable]:
        """Of all branches."""
        return [self.first_kernel, *self.new_kernels]

    @property
    def normalizations(self) -> list[keras.layers.BatchNormalization]:
        """Of all branches."""
        return [self.normalization, *self.new_normalizations]

    @property
    def new_weights(self) -> list[tf.Variable]:
        """All that only the branches need."""
        return [*self.new_kernels, *(weight for layer in self.new_normalizations for weight in layer.weights)]

    def masked(self, values: tf.Tensor) -> tf.Tensor:
        """`values`, of the shape of a kernel, with zeros for pruned weights."""
        mask = mask_of(self.first_kernel)
        return values if mask is None else tf.where(mask > 0, values, tf.zeros_like(values))

    def _new_kernel(self, number: int) -> tf.Variable:
        (first,) = kernels_in(unwrapped_layer(self.layer))
        regularizer, constraint = (getattr(first.holder, option, None) for option in first.options)
        values = self.masked(first.variable).numpy()
        generator = np.random.default_rng(derive_seed(self.seed, f"branch {number}"))
        new = self.masked(generator.normal(size=values.shape).astype(values.dtype)).numpy()
        new *= _ratio(filter_norms(values, self.output_axes), filter_norms(new, self.output_axes))
        # Under the name of the first: by it optimizers know kernels.
        kernel = self.add_weight(
            first.attribute,
            values.shape,
            initializer=keras.initializers.Zeros(),
            regularizer=None if regularizer is None else lambda kernel: regularizer(self.masked(kernel)),
            constraint=None if constraint is None else lambda kernel: self.masked(constraint(kernel)),
        )
        kernel.assign(new)
        mask = mask_of(first.variable)
        if mask is not None:
            setattr(kernel, MASK_ATTRIBUTE, mask)
        return kernel

    def _start(self) -> None:
        """Sets the new gammas and betas."""
        first = self.normalization
        is_new = not np.any(first.moving_mean.numpy()) and np.all(first.moving_variance.numpy() == 1)
        gamma = first.gamma.numpy()
        for normalization in self.new_normalizations:
            normalization.gamma.assign(gamma if is_new else np.zeros_like(gamma))
            normalization.beta.assign(np.zeros_like(gamma))

    def call(self, inputs, training=None):
        outputs = zip(self.normalizations, self._convolved(inputs), strict=True)
        return tf.add_n([normalization(output, training=training) for normalization, output in outputs])

    def _convolved(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """What the kernels of the branches make of the inputs."""
        own = unwrapped_layer(self.layer)
        (first,) = kernels_in(own)
        kernels = [self.masked(kernel) for kernel in self.kernels]
        if type(own) not in JOINED or getattr(own, "groups", 1) > 1:
            outputs = []
            for kernel in kernels:
                with lent([(own, first.attribute, kernel)]):
                    outputs.append(own(inputs))
            return outputs
        count = JOINED[type(own)]
        joined = {first.attribute: tf.concat(kernels, -1), count: self.branches * getattr(own, count)}
        if own.use_bias:
            joined["bias"] = tf.concat([own.bias] * self.branches, 0)
        with lent((own, name, value) for name, value in joined.items()):
            return tf.split(own(inputs), self.branches, channel_axis(own, len(inputs.shape)))

    def compute_output_shape(self, input_shape):
        return unwrapped_layer(self.layer).compute_output_shape(input_shape)

    def get_config(self):
        return super().get_config() | {
            "layer": serialized(self.layer),
            "normalization": serialized(self.normalization),
            "branches": self.branches,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.layers.deserialize(config[name]) for name in ("layer", "normalization")}
        return cls(**(config | parts))


def channel_axis(layer: keras.layers.Layer, rank: int) -> int:
    """The axis of the channels in what a convolution or Dense layer computes, a tensor of `rank` axes."""
    return 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1


def filter_norms(kernel: np.ndarray, output_axes: tuple[int, ...]) -> np.ndarray:
    """The norm of each filter, in an array that broadcasts over the kernel."""
    outputs = {axis % kernel.ndim for axis in output_axes}
    others = tuple(axis for axis in range(kernel.ndim) if axis not in outputs)
    return np.sqrt(np.sum(np.square(kernel), axis=others, keepdims=True))


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.divide(one, other, out=np.zeros_like(one), where=other > 0)
