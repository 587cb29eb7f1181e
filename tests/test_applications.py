"""Models nobody wrote for this project: one of each family of keras.applications that has ReLU.

The table of what was found is printed after the tests; `pytest tests/test_applications.py --every-application` takes
the others of those families too, of RegNet a few, in about ten minutes.
"""

import numpy as np

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.graph.kernels import prunable_layers, prunable_weights

SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
SMALLER = {"MobileNet": {"alpha": 0.25}, "MobileNetV2": {"alpha": 0.35}}


def build(name: str) -> keras.Model:
    size = SIZES.get(name, 32)
    return getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None, **SMALLER.get(name, {})
    )


def largest_difference(one: tf.Tensor, other: tf.Tensor) -> float:
    """Relative to the largest value, as logits are of any size too."""
    return float(tf.reduce_max(tf.abs(one - other)) / tf.reduce_max(tf.abs(other)))


def test_applications(application, record_property):
    model = build(application)
    images = tf.random.stateless_uniform((2, *model.input_shape[1:]), (1, 2), -1.0, 1.0)
    shapes = {path: weight.shape for path, weight in prunable_weights(model).items()}
    sparse = tost.sparsify(model, tost.Masks({path: np.ones(shape, np.uint8) for path, shape in shapes.items()}))
    ghosted = tost.GhostModel(sparse, skip_initializer="he_normal")
    kinds = [ghost.kind for ghost in ghosted.ghosts]

    for layer in ghosted.submodules:
        if isinstance(layer, tost.GhostSkip):
            layer.alpha.assign(0.0)
        if isinstance(layer, tost.GhostActivation):
            layer.beta.assign(1e20)  # random deep networks give any size of activations
    plain = ghosted.plain(images)
    faded = largest_difference(ghosted.ghosted(images), plain)

    final = tost.strip(ghosted)
    assert [layer.name for layer in final.layers] == [layer.name for layer in model.layers]
    assert final.get_config() == model.get_config()
    stripped = largest_difference(final(images), model(images))

    generator = np.random.default_rng(4)
    wrappers = dict(prunable_layers(sparse))
    for wrapper in wrappers.values():
        wrapper.set_mask(generator.random(wrapper.kernel.shape) < 0.3)
    before = {path: wrapper.kernel.numpy() for path, wrapper in wrappers.items()}
    ghosted.compile(
        keras.optimizers.SGD(1e-3), keras.losses.CategoricalCrossentropy(from_logits=True), run_eagerly=True
    )
    ghosted.train_on_batch(images, np.eye(10)[:2])
    moved = 0
    for path, wrapper in wrappers.items():
        assert not np.any(wrapper.kernel.numpy()[wrapper.mask.numpy() == 0]), path
        moved += np.any(wrapper.kernel.numpy() != before[path])

    neurons, skips = kinds.count("pswish"), kinds.count("projection")
    prunable = sum(int(np.prod(shape)) for shape in shapes.values())
    row = f"{application:20} {neurons:8} {skips:6} {prunable:12,} {faded:10.1e} {stripped:10.1e}"
    record_property("application", row)
    assert neurons > 0 and skips > 0
    assert faded < 1e-4 and stripped == 0
    assert moved > 0.5 * len(wrappers)  # through VGG, which has no normalisation, hardly a gradient comes
