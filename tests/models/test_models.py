import contextlib

import numpy as np
import pytest

from tests.exhaustive import exhaustive, quick
from tost_tf import models
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.ghost.model import GhostModel


@contextlib.contextmanager
def shapes_only():
    """In this block weights have shapes and take no memory."""
    with tf.Graph().as_default():
        tf.random.set_seed(7)
        yield


def trainable(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("name", "millions", "places"),
    [
        # He et al. 2016, Table 6.
        ("resnet20", 0.27, 2),
        exhaustive("resnet32", 0.46, 2),
        exhaustive("resnet44", 0.66, 2),
        exhaustive("resnet56", 0.85, 2),
        exhaustive("resnet110", 1.7, 1),
        # By hand: 6n+2 layers, 97,216·n - 21,926 weights for n blocks a stage (as for n = 3, 5 and 18 above).
        ("resnet8", 0.0753, 4),
        exhaustive("resnet104", 1.63, 2),
    ],
)
def test_published_numbers_of_parameters_of_cifar_resnets(name, millions, places):
    assert round(trainable(models.build(name, (32, 32, 3), 10)) / 1e6, places) == millions


def test_resnet32x2_is_the_network_of_grasp():
    # By hand, 3x3 kernels and the scales and shifts of BatchNormalization. Stem: 27·32 + 64. Stage 1: ten convolutions.
    # Stages 2 and 3: one from half the channels, nine more, and the 1x1 shortcut.
    stages = 10 * (9 * 32 * 32 + 64)
    for width in (64, 128):
        stages += 9 * width * width // 2 + 9 * 9 * width * width + 10 * 2 * width + width * width // 2 + 2 * width
    model = models.build("resnet32x2", (32, 32, 3), 10)
    assert trainable(model) == 27 * 32 + 64 + stages + 1290 == 1_860_522
    assert model.get_layer("logits").kernel.shape == (128, 10)
    # The shortcut changes the shape in the first blocks of stages 2 and 3 only.
    shortcuts = [layer for layer in model.layers if "shortcut" in layer.name]
    assert [layer.name for layer in shortcuts] == [
        *("stage2_block1_shortcut_conv", "stage2_block1_shortcut_bn"),
        *("stage3_block1_shortcut_conv", "stage3_block1_shortcut_bn"),
    ]
    assert shortcuts[0].kernel.shape == (1, 1, 32, 64) and shortcuts[0].strides == (2, 2)
    assert not shortcuts[0].use_bias


@pytest.mark.parametrize(
    ("name", "cifar", "imagenet"),
    [
        # For ImageNet the numbers torchvision's documentation gives (resnet*, vgg*_bn), for MobileNet what
        # keras.applications has without BatchNormalization's statistics (Howard et al. 2017, Table 4: 4.2 M).
        # For CIFAR-10 the PyTorch networks everybody starts from (github.com/kuangliu/pytorch-cifar), same layers.
        ("resnet18", 11_173_962, 11_689_512),
        exhaustive("resnet34", 21_282_122, 21_797_672),
        exhaustive("resnet50", 23_520_842, 25_557_032),
        exhaustive("resnet101", 42_512_970, 44_549_160),
        exhaustive("resnet152", 58_156_618, 60_192_808),
        exhaustive("vgg16", 14_728_266, 138_365_992),
        exhaustive("vgg19", 20_040_522, 143_678_248),
        exhaustive("mobilenet", 3_217_226, 4_231_976),
    ],
)
def test_published_numbers_of_parameters(name, cifar, imagenet):
    with shapes_only():
        small = models.build(name, (32, 32, 3), 10)
        assert trainable(small) == cifar and small.output_shape == (None, 10)
        assert trainable(models.build(name, (224, 224, 3), 1000)) == imagenet


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("vgg16", 64), ("mobilenet", 32)),
        *(exhaustive("resnet50", 32), exhaustive("resnet50", 64), exhaustive("vgg16", 32), exhaustive("mobilenet", 64)),
    ],
)
def test_networks_of_the_paper_take_every_ghost(name, size):
    model = models.build(name, (size, size, 3), 10, width_multiplier=0.25)
    ghosts = GhostModel(model).ghosts
    relus = [layer for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    spatial = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D) and max(layer.kernel_size) > 1
    ]
    assert sum(ghost.kind == "pswish" for ghost in ghosts) == len(relus)
    assert sum(ghost.kind == "projection" for ghost in ghosts) == len(spatial) - 1  # all but the stem


@pytest.mark.parametrize("name", quick(["resnet20", "resnet32x2", "resnet18", "vgg16", "mobilenet"], ("mobilenet",)))
def test_other_images_classes_and_widths(name):
    model = models.build(name, (9, 12, 1), 7, width_multiplier=0.3)
    assert model.predict(np.zeros((2, 9, 12, 1), np.float32), verbose=0).shape == (2, 7)
    with shapes_only():
        assert trainable(model) < 0.12 * trainable(models.build(name, (9, 12, 1), 7))


def test_shortcut_without_parameters_takes_every_other_pixel_and_adds_zero_channels():
    model = models.build("resnet8", (8, 8, 3), 10)
    before, after = model.get_layer("stage1_block1_relu2"), model.get_layer("stage2_block1_squeeze")
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
    with pytest.raises(TostError, match=r"resnet20 takes images, .* examples of shape \[30\]: use a .keras or .h5"):
        models.build("resnet20", (30,), 10)
