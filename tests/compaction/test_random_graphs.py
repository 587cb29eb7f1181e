"""Graphs of random layers with random zeros and constants in them, in double precision."""

import numpy as np
import pytest

from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf

layers = keras.layers


class RandomGraph:
    """Grows a network of 4 to 13 layers from an image of 7x7 pixels."""

    def __init__(self, seed: int):
        self.generator = np.random.default_rng(seed)
        self.shared = layers.Conv2D(4, 3, padding="same")
        self.image = keras.Input((7, 7, 2))
        self.tensors = [self.image]

    def model(self) -> keras.Model:
        for _ in range(self.generator.integers(4, 14)):
            x = self.one_of(self.tensors[-5:])
            grow = self.one_of(
                [self.convolution, self.convolution, self.plain, self.merge, self.join, self.gate, self.pad]
            )
            x = grow(x)
            if x.shape[-1] <= 24:
                self.tensors.append(x)
        outputs = [layers.Dense(3)(layers.Flatten()(self.one_of(self.tensors[-2:])))]
        outputs += [self.one_of(self.tensors)] if self.chance(0.2) else []
        model = keras.Model(self.image, outputs)
        self.fill(model)
        return model

    def one_of(self, choices: list):
        return choices[self.generator.integers(len(choices))]

    def chance(self, probability: float) -> bool:
        return bool(self.generator.random() < probability)

    def convolution(self, x):
        activation = self.one_of(["relu", "relu", "linear", "tanh", "softmax"])
        options = {"activation": activation, "use_bias": self.chance(0.6), "padding": "same"}
        if x.shape[-1] == 4 and self.chance(0.2):
            return self.shared(x)
        kind = self.one_of([layers.Conv2D, layers.Conv2D, layers.SeparableConv2D, layers.DepthwiseConv2D])
        if kind is layers.DepthwiseConv2D:
            return kind(3, depth_multiplier=self.one_of([1, 2]), **options)(x)
        if kind is layers.SeparableConv2D:
            return kind(4, 3, depth_multiplier=self.one_of([1, 2]), **options)(x)
        options["padding"] = "valid" if x.shape[1] >= 3 and self.chance(0.2) else "same"
        return kind(self.one_of([3, 4, 6]), self.one_of([1, 3]), strides=self.one_of([1, 1, 2]), **options)(x)

    def plain(self, x):
        pool = self.one_of([layers.MaxPooling2D, layers.AveragePooling2D])
        return self.one_of([layers.BatchNormalization(), layers.ReLU(), pool(2, 1, "same")])(x)

    def merge(self, x):
        same = [tensor for tensor in self.tensors if tensor.shape == x.shape]
        kind = self.one_of([layers.Add, layers.Add, layers.Multiply, layers.Maximum])
        return kind()([x, *(self.one_of(same) for _ in range(self.generator.integers(1, 3)))])

    def join(self, x):
        fitting = [tensor for tensor in self.tensors if tensor.shape[1:3] == x.shape[1:3]]
        return layers.Concatenate()([x, *(self.one_of(fitting) for _ in range(self.generator.integers(1, 3)))])

    def gate(self, x):
        channels = x.shape[-1]
        gates = layers.Dense(channels, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
        return layers.Multiply()([x, layers.Reshape((1, 1, channels))(gates)])

    def pad(self, x):
        *size, channels = x.shape[1:]
        before, after = self.generator.integers(0, 3, 2).tolist()
        x = layers.ZeroPadding3D(((0, 0), (0, 0), (before, after)))(layers.Reshape((*size, channels, 1))(x))
        x = layers.Reshape((*size, before + channels + after))(x)
        return layers.ZeroPadding2D(1)(x) if x.shape[1] < 9 and self.chance(0.4) else x

    def fill(self, model: keras.Model) -> None:
        for weight in model.weights:
            numbers = self.generator.normal(size=weight.shape)
            if "kernel" in weight.name:
                numbers *= self.generator.random(numbers.shape) < self.one_of([0.1, 0.3, 1])
                numbers[..., self.generator.random(numbers.shape[-1]) < self.one_of([0.4, 0.4, 1])] = 0
                numbers[..., self.generator.random(numbers.shape[-2]) < 0.25, :] = 0
            elif "variance" in weight.name:
                numbers = numbers**2
            else:
                numbers *= self.generator.random(numbers.shape) < 0.5
            weight.assign(numbers)


@pytest.fixture
def double_precision():
    keras.backend.set_floatx("float64")
    yield
    keras.backend.set_floatx("float32")


@pytest.mark.parametrize("seeds", [range(16), exhaustive(range(40))], ids=str)
def test_random_graphs(compacted, double_precision, seeds):
    removed = 0
    for seed in seeds:
        model = RandomGraph(seed).model()
        _, report = compacted(model)
        removed += report.channels[1] < report.channels[0]
    assert removed >= len(seeds) / 2
    assert tf.nest.flatten(model.outputs)[0].dtype == tf.float64
