import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.parameter_paths import parameter_paths

layers = keras.layers


def nested():
    """Two models with layers of the same names in a model, one of them called twice."""

    def block(name):
        stack = [layers.Conv2D(3, 3, padding="same", name="conv"), layers.BatchNormalization(name="bn")]
        return keras.Sequential([keras.Input((4, 4, 3)), *stack], name=name)

    image, one, two = keras.Input((4, 4, 3)), block("one"), block("two")
    return keras.Model(image, layers.Dense(2, name="logits")(layers.Flatten()(two(one(one(image))))))


def test_paths_of_nested_models_in_order():
    model = nested()
    blocks = [
        f"{block}/{rest}" for block in ("one", "two") for rest in ("conv/kernel", "conv/bias", "bn/gamma", "bn/beta")
    ]
    paths = parameter_paths(model)
    assert list(paths) == [*blocks, "logits/kernel", "logits/bias"]
    assert all(one is other for one, other in zip(paths.values(), model.trainable_weights, strict=True))


def test_paths_are_those_of_masks_and_the_same_in_wrappers(small_model):
    for model in (small_model, nested()):
        paths = parameter_paths(model)
        kernels = prunable_weights(model)
        assert all(paths[path] is kernel for path, kernel in kernels.items())
        sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.3))
        assert list(parameter_paths(sparse)) == list(paths)
        assert [tuple(v.shape) for v in parameter_paths(sparse).values()] == [tuple(v.shape) for v in paths.values()]


def test_what_is_frozen_has_no_path():
    model = nested()
    model.get_layer("one").trainable = False
    model.get_layer("logits").trainable = False
    assert list(parameter_paths(model)) == ["two/conv/kernel", "two/conv/bias", "two/bn/gamma", "two/bn/beta"]


class Twice(layers.Layer):
    def build(self, input_shape):
        self.parts = [self.add_weight("scale", (1,)) for _ in range(2)]

    def call(self, x):
        return x * self.parts[0] + self.parts[1]


def test_layers_made_of_layers_and_weights_of_one_name():
    image = keras.Input((4, 3))
    x = layers.MultiHeadAttention(2, 3, name="look")(image, image)
    model = keras.Model(image, Twice(name="twice")(x))
    names = [f"look/{part}/{weight}" for part in ("query", "key", "value") for weight in ("kernel", "bias")]
    paths = list(parameter_paths(model))
    assert paths[:6] == names and paths[-2:] == ["twice/scale", "twice/scale #2"]
