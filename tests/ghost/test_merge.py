"""Ghost branches become one kernel and one BatchNormalization that compute the same."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.ghost.merge import Branch, bring_up_to_date, merged, renormalise
from tost_tf.registry import MODELS

layers = keras.layers


def test_two_branches_by_hand():
    # Two inputs and two filters; the weight from the first input to the second filter is pruned. ε = 0.
    one = Branch(*map(np.array, ([[3.0, 0], [4, 2]], [2.0, 3], [0.1, 0.2], [0.3, 0.4], [4.0, 9])))
    other = Branch(*map(np.array, ([[1.0, 0], [-2, 6]], [3.0, 1], [0.5, -0.6], [0.7, -0.8], [9.0, 4])))
    result = merged([one, other], np.array([0.25, -0.5]), 0.0, (-1,))
    # Factors γ/σ: (1, 1) and (1, 1/2). Sum: [3 + 1, 4 - 2] = [4, 2] and 2 + 6/2 = 5. Norms of the branches: 5 and √5, 2
    # and 6; their root mean squares: √15 and √20; so the scales are √15/√20 and √20/5.
    scale = np.array([np.sqrt(15 / 20), np.sqrt(20) / 5])
    np.testing.assert_allclose(result.kernel, np.array([[4, 0], [2, 5]]) * scale)
    # Offsets: 0.1 + (0.25 - 0.3) + 0.5 + (0.25 - 0.7) = 0.1; 0.2 + (-0.5 - 0.4) - 0.6 + (-0.5 + 0.8)/2 = -1.15.
    np.testing.assert_allclose(result.mean, [0.25 + scale[0] * (0.6 - 0.1), -0.5 + scale[1] * (-0.4 + 1.15)])
    np.testing.assert_allclose(result.variance, scale**2 * [4 + 9, 9 + 4 / 4])
    np.testing.assert_allclose(result.gamma, np.sqrt([13, 10]))
    np.testing.assert_allclose(result.beta, [0.6, -0.4])
    # For the inputs (0.7, -1.1): the branches by themselves, and what they became.
    x, bias = np.array([0.7, -1.1]), np.array([0.25, -0.5])

    def computed(branch):
        return branch.gamma / np.sqrt(branch.variance) * (x @ branch.kernel + bias - branch.mean) + branch.beta

    np.testing.assert_allclose(computed(result), computed(one) + computed(other))


def test_a_filter_of_which_nothing_is_left_is_that_of_the_first_branch():
    kernels = np.array([[1.0, 0, 2]]), np.array([[3.0, 0, 5]])
    # Gammas of the first filter are zero, the second filter has no weight, the third one's branches cancel each other.
    gammas = np.array([0, 2, 5.0]), np.array([0, 3, -2.0])
    branches = [
        Branch(kernel, gamma, np.full(3, 0.3), np.full(3, 0.7), np.ones(3))
        for kernel, gamma in zip(kernels, gammas, strict=True)
    ]
    result = merged(branches, 0.2, 0.0, (-1,))
    np.testing.assert_allclose(result.kernel, [[1, 0, 2]])
    np.testing.assert_allclose(result.gamma, 0)
    np.testing.assert_allclose(result.beta, [0.6, 0.6 + 5 * (0.2 - 0.7), 0.6 + 3 * (0.2 - 0.7)])
    assert all(np.isfinite(getattr(result, name)).all() for name in ("mean", "variance"))


def test_renormalise_by_hand():
    model = keras.Sequential([layers.BatchNormalization(epsilon=0.5, input_shape=(2,))])
    (layer,) = model.layers
    values = [np.float32(value) for value in ([2, 3], [0.1, 0.2], [0.3, -0.4], [1.5, 0.5])]
    layer.set_weights(values)
    batches = [np.float32([[1, 10], [2, 20]]), np.float32([[6, 30]])]
    before = [model(batch).numpy() for batch in batches]
    renormalise(model, [layer], batches)
    np.testing.assert_allclose(layer.moving_mean, [3, 20], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [14 / 3, 200 / 3], rtol=1e-6)
    for batch, expected in zip(batches, before, strict=True):
        np.testing.assert_allclose(model(batch), expected, rtol=1e-5)
    unchanged = layer.get_weights()
    renormalise(model, [layer], [])
    assert all(np.array_equal(one, other) for one, other in zip(layer.get_weights(), unchanged, strict=True))


def test_statistics_brought_up_to_date_are_those_training_has(small_images):
    image = keras.Input((6, 6, 2))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(3, 3)(image)))
    x = layers.Dropout(0.7)(layers.BatchNormalization(momentum=0.3)(layers.Conv2D(2, 3)(x)))
    model = keras.Model(image, x)
    made_up(model, 4)
    before = [weight.numpy() for weight in model.trainable_weights]
    trained = model.layers[-1].input
    trained = keras.Model(image, trained)(small_images[0], training=True)
    bring_up_to_date(model, [small_images[0]])
    np.testing.assert_allclose(model(small_images[0]), trained, atol=1e-5)
    assert all(np.array_equal(w, old) for w, old in zip(model.trainable_weights, before, strict=True))
    statistics = [weight.numpy() for weight in model.weights]
    bring_up_to_date(model, [])
    assert all(np.array_equal(w, old) for w, old in zip(model.weights, statistics, strict=True))


def made_up(model: keras.Model, seed: int) -> None:
    """As after some training: no number of any BatchNormalization, bias or kernel is that of its start."""
    generator = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        if "kernel" not in weight.name:
            weight.assign(weight + 0.2 * generator.normal(size=weight.shape))
    for part in model.submodules:
        if isinstance(part, layers.BatchNormalization):
            part.moving_mean.assign(0.3 * generator.normal(size=part.moving_mean.shape))
            part.moving_variance.assign(generator.uniform(0.4, 2.5, part.moving_variance.shape))


def require_merged_exactly(ghosted: tost.GhostModel, images: np.ndarray, tolerance: float = 1e-5) -> None:
    """The network computes the same before and after merging, with the same mask; each BatchNormalization took part."""
    masks = {path: mask.copy() for path, mask in tost.masks.zeros(tost.strip(ghosted, ghosts="remove")).items()}
    before = ghosted.ghosted(images).numpy()
    stripped = tost.strip(ghosted, ghosts="remove")(images)
    np.testing.assert_allclose(stripped, before, atol=tolerance * max(1.0, np.abs(before).max()))
    unmerged = ghosted.unmerged_branches()
    norms = [part for part in ghosted.plain.submodules if isinstance(part, layers.BatchNormalization)]
    assert len(unmerged) == len(norms) == len(ghosted.ghosts)
    bring_up_to_date(ghosted.ghosted, [images])
    before = ghosted.ghosted(images).numpy()
    ghosted.remove_ghosts(images)
    size = max(1.0, np.abs(before).max())
    for after in (ghosted.plain(images), ghosted.ghosted(images), tost.strip(ghosted)(images)):
        np.testing.assert_allclose(after, before, atol=tolerance * size)
    assert not ghosted.unmerged_branches() and not ghosted.ghosts_active
    final = tost.masks.zeros(tost.strip(ghosted))
    assert all(np.array_equal(final[path], mask) for path, mask in masks.items())


# In single precision their own rounding errors are above 1e-5.
ROUNDING_ADDS_UP = ("resnet50", "resnet101", "resnet152", "mobilenet")


@pytest.fixture
def double_precision_of_the_deep(name):
    keras.backend.set_floatx("float64" if name in ROUNDING_ADDS_UP else "float32")
    yield
    keras.backend.set_floatx("float32")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "resnet8" else pytest.mark.exhaustive) for name in MODELS]
)
def test_networks_of_the_zoo(name, double_precision_of_the_deep):
    model = tost.models.build(name, (32, 32, 3), 10, width_multiplier=0.125)
    ghosted = tost.GhostModel(
        tost.sparsify(model, tost.masks.erk(model, sparsity=0.6)), "none", "none", branches=2, seed=3
    )
    made_up(ghosted.ghosted, 1)
    images = np.random.default_rng(2).normal(size=(4, 32, 32, 3)).astype(keras.backend.floatx())
    require_merged_exactly(ghosted, images, 1e-12 if name in ROUNDING_ADDS_UP else 1e-5)


class RandomGraph:
    """Three to seven blocks with BatchNormalization, some of which read one another's sums."""

    def __init__(self, seed: int):
        self.generator = np.random.default_rng(seed)

    def model(self) -> keras.Model:
        image = keras.Input((9, 8, 4))
        tensors = [image]
        for _ in range(self.generator.integers(3, 8)):
            x = tensors[self.generator.integers(max(0, len(tensors) - 2), len(tensors))]
            x = self.block(x)
            same = [tensor for tensor in tensors if tensor.shape == x.shape]
            if same and self.generator.random() < 0.4:
                x = layers.Add()([x, same[-1]])
            tensors.append(layers.ReLU()(x) if self.generator.random() < 0.7 else x)
        x = layers.GlobalAveragePooling2D()(tensors[-1])
        x = layers.BatchNormalization()(layers.Dense(5, use_bias=False)(x))
        return keras.Model(image, layers.Dense(3)(x))

    def block(self, x):
        kinds = [
            lambda **more: layers.Conv2D(4, 3, padding="same", **more),
            lambda **more: layers.Conv2D(6, (3, 1), strides=(1, 2), padding="same", dilation_rate=1, **more),
            lambda **more: layers.Conv2D(4, 3, padding="same", groups=2, **more),
            lambda **more: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, **more),
            lambda **more: layers.Conv2DTranspose(6, 2, padding="same", **more),
            lambda **more: layers.Dense(4, **more),
        ]
        x = kinds[self.generator.integers(len(kinds))](use_bias=self.generator.random() < 0.5)(x)
        return layers.BatchNormalization(epsilon=self.generator.choice([1e-5, 1e-3]).item())(x)


@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(3, 20))]
)
def test_random_graphs(seed):
    model = RandomGraph(seed).model()
    ghosted = tost.GhostModel(
        tost.sparsify(model, tost.masks.random(model, sparsity=0.5)), "none", "none", branches=2 + seed % 2, seed=seed
    )
    made_up(ghosted.ghosted, seed)
    images = np.random.default_rng(seed).normal(size=(6, 9, 8, 4)).astype(np.float32)
    require_merged_exactly(ghosted, images)


def test_statistics_are_those_of_the_images(small_images):
    image = keras.Input((6, 6, 2))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(3, 3, name="conv", padding="same")(image))
    sparse = tost.sparsify(keras.Model(image, layers.Dense(4)(layers.Flatten()(x))), sparsity=0.4)
    ghosted = tost.GhostModel(sparse, "none", "none", branches=3)
    made_up(ghosted.ghosted, 5)
    ghosted.remove_ghosts(small_images[0])
    read = sparse.get_layer(index=1)(small_images[0]).numpy()
    norm = sparse.get_layer("norm")
    np.testing.assert_allclose(norm.moving_mean, read.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, read.var((0, 1, 2)), rtol=1e-4)
    # So training goes on with the function that inference has.
    trained = ghosted.plain(small_images[0], training=True)
    np.testing.assert_allclose(trained, ghosted.plain(small_images[0]), rtol=1e-3, atol=1e-3)
