import numpy as np
import pytest

from tost_tf import models
from tost_tf.compat import keras
from tost_tf.errors import TostError


def trainable(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("name", "millions", "places"),
    # He et al. 2016, Table 6 (0.27, 0.46); the CIFAR ResNet-18 with a 3x3 stem is widely given as 11.17.
    [("resnet20", 0.27, 2), ("resnet32", 0.46, 2), ("resnet18", 11.17, 2)],
)
def test_published_numbers_of_parameters(name, millions, places):
    model = models.build(name, (32, 32, 3), 10)
    assert round(trainable(model) / 1e6, places) == millions
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize("name", ["resnet20", "resnet18"])
def test_other_images_classes_and_widths(name):
    model = models.build(name, (9, 12, 1), 7, width_multiplier=0.3)
    assert model.predict(np.zeros((2, 9, 12, 1), np.float32), verbose=0).shape == (2, 7)
    assert trainable(model) < 0.12 * trainable(models.build(name, (9, 12, 1), 7))


def test_shortcut_without_parameters_takes_every_other_pixel_and_adds_zero_channels():
    model = models.build("resnet20", (8, 8, 3), 10)
    before, after = model.get_layer("stage1_block3_relu2"), model.get_layer("stage2_block1_squeeze")
    part = keras.Model(model.input, [before.output, after.output])
    x, shortcut = part.predict(np.random.default_rng(0).normal(size=(2, 8, 8, 3)), verbose=0)
    np.testing.assert_array_equal(shortcut[..., 8:24], x[:, ::2, ::2])
    assert not shortcut[..., :8].any() and not shortcut[..., 24:].any()


def test_bad_networks_are_refused():
    with pytest.raises(TostError, match="unknown model 'resnet33': did you mean"):
        models.build("resnet33", (8, 8, 1), 10)
    with pytest.raises(TostError, match="num_classes is 1"):
        models.build("resnet20", (8, 8, 1), 1)
    with pytest.raises(TostError, match="width_multiplier is 0"):
        models.build("resnet20", (8, 8, 1), 10, 0)
