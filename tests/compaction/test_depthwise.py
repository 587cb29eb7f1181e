import numpy as np
import pytest

from tost_tf.compat import keras

layers = keras.layers


def test_depthwise_filter_of_zeros_takes_its_channel_along(compacted):
    image = keras.Input((6, 6, 2))
    depthwise = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")
    x = layers.ReLU()(depthwise(layers.Conv2D(3, 1, name="first")(image)))
    model = keras.Model(image, layers.Conv2D(2, 3, padding="same", name="last")(x))
    kernel, bias = depthwise.get_weights()
    kernel[:, :, 1, 0] = 0
    depthwise.set_weights([kernel, bias])
    assert compacted(model)[1].after["depthwise"].channels == 6  # the other filter of channel 1 is alive
    kernel[:, :, 1, 1] = 0
    depthwise.set_weights([kernel, bias])
    report = compacted(model)[1]
    assert {name: size.channels for name, size in report.after.items()} == {"first": 2, "depthwise": 4, "last": 2}
    bias[3] = 0.5  # now it is a constant that the last convolution's borders see
    depthwise.set_weights([kernel, bias])
    assert compacted(model)[1].after["depthwise"].channels == 6


@pytest.mark.parametrize("kind", ["SeparableConv1D", "DepthwiseConv1D"])
def test_separable_and_depthwise_convolutions_of_lines(compacted, kind):
    line = keras.Input((7, 2))
    first = layers.Conv1D(4, 3, padding="same")
    options = {"padding": "valid", "strides": 2, "name": "second"}
    second = (
        layers.SeparableConv1D(5, 3, **options) if kind == "SeparableConv1D" else layers.DepthwiseConv1D(3, **options)
    )
    model = keras.Model(line, layers.Conv1D(2, 2, name="last")(layers.ReLU()(second(first(line)))))
    first.kernel.assign(first.kernel.numpy() * (np.arange(4) != 1))
    first.bias.assign([0.1, 0.2, 0.3, 0.4])
    after = compacted(model)[1].after
    assert after[first.name].channels == 3 and after["second"].channels == (5 if kind == "SeparableConv1D" else 3)
