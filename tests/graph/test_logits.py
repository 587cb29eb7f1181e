"""Models that end in a softmax, in every form, are treated as the same model without it."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.analysis.kept_weights import loss_and_accuracy
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.logits import ends_in_softmax, to_logits

layers = keras.layers
IMAGES = np.random.default_rng(0).normal(size=(12, 6, 6, 2)).astype(np.float32)
LABELS = np.arange(12)[:, None] % 3


def network(end: str | None, activation: str | None = None) -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((6, 6, 2))
    x = layers.ReLU()(layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(image)))
    x = layers.Dense(3, activation="softmax" if end == "fused" else activation, name="top")(layers.Flatten()(x))
    ends = {"layer": layers.Softmax(), "activation": layers.Activation("softmax"), "operation": tf.nn.softmax}
    return keras.Model(image, ends[end](x) if end in ends else x)


@pytest.mark.parametrize("end", ["fused", "layer", "activation", "operation"])
def test_softmax_in_every_form(end):
    plain, model = network(None), network(end)
    assert ends_in_softmax(model) and not ends_in_softmax(plain)
    logits = to_logits(model)(model(IMAGES)).numpy()
    difference = logits - plain(IMAGES).numpy()
    np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-5)


def test_masks_losses_rescaling_and_exports_see_through_a_softmax(tmp_path):
    plain, model = network(None), network("fused")
    for find in (tost.masks.snip, tost.masks.grasp):
        masks = find(plain, [(IMAGES, np.eye(3)[LABELS[:, 0]].astype(np.float32))], sparsity=0.7)
        assert find(model, [(IMAGES, LABELS)], sparsity=0.7) == masks
    assert loss_and_accuracy(model, IMAGES, LABELS) == pytest.approx(loss_and_accuracy(plain, IMAGES, LABELS))
    scales = [tost.rescale_init(m, [(IMAGES, LABELS)], steps=2) for m in (plain, model)]
    assert scales[0] == pytest.approx(scales[1], rel=1e-3)
    tost.export.saved_model(model, tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    np.testing.assert_allclose(serve(image=tf.constant(IMAGES))["probabilities"], model(IMAGES), atol=1e-6)


def test_a_sparse_model_that_ends_in_a_softmax():
    model = network("fused")
    sparse = tost.sparsify(model, tost.masks.magnitude(model, sparsity=0.3))
    assert ends_in_softmax(sparse) and ends_in_softmax(tost.GhostModel(sparse))


def test_sigmoid_is_refused():
    with pytest.raises(TostError, match="ends in 'top', which gives neither logits nor"):
        ends_in_softmax(network(None, "sigmoid"))
    with pytest.raises(TostError, match="ends in 'top', which gives neither logits nor"):
        ends_in_softmax(network(None, tf.nn.log_softmax))


@pytest.mark.parametrize("outputs", [lambda one, two: {"one": one, "two": two}, lambda one, two: {"one": one}])
def test_what_needs_logits_refuses_several_outputs_in_one_sentence(outputs):
    image = keras.Input((6, 6, 2))
    x = layers.Flatten()(layers.Conv2D(4, 3)(image))
    heads = keras.Model(image, outputs(layers.Dense(2, name="one")(x), layers.Dense(3, name="two")(x)), name="heads")
    batch = (IMAGES, LABELS)
    for job in (
        lambda: tost.masks.snip(heads, [batch], sparsity=0.5),
        lambda: tost.masks.grasp(heads, [batch], sparsity=0.5),
        lambda: tost.rescale_init(tost.sparsify(heads, tost.masks.random(heads, sparsity=0.5)), [batch], steps=1),
        lambda: loss_and_accuracy(heads, IMAGES, LABELS),
    ):
        with pytest.raises(TostError, match="'heads' returns [12] outputs \\(one.* use one of them") as error:
            job()
        assert len(str(error.value)) < 500
    assert tost.masks.synflow(heads, sparsity=0.5, iterations=2).kept  # needs no logits


@pytest.mark.parametrize("end", ["tensorflow's", "cast", "flat", "nested"])
def test_softmax_that_is_not_quite_at_the_end(end):
    plain, model = network(None), network("fused")
    if end == "tensorflow's":
        model = network(None, tf.nn.softmax)
    elif end == "nested":
        model = keras.Sequential([model, layers.Activation("linear")])
    else:
        last = layers.Activation("linear", dtype="float32") if end == "cast" else layers.Flatten()
        model = keras.Model(model.input, last(model.output))
    assert ends_in_softmax(model)
    difference = to_logits(model)(model(IMAGES)).numpy() - plain(IMAGES).numpy()
    np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-5)


def test_a_layer_behind_the_softmax_that_is_called_before_it_too():
    same = layers.Activation("linear")
    image = keras.Input((4,))
    model = keras.Model(image, same(layers.Softmax()(layers.Dense(3)(same(image)))))
    assert ends_in_softmax(model)


BEHIND = {
    "tf.cast": lambda x: tf.cast(x, tf.float64),
    "tf.identity": lambda x: tf.identity(x),
    "tf.reshape": lambda x: tf.reshape(x, (-1, 3)),
    "tf.squeeze": lambda x: tf.squeeze(layers.Reshape((1, 3))(x), 1),
    "Identity": lambda x: layers.Identity()(x),
    "Dropout": lambda x: layers.Dropout(0.3)(x),
    "ActivityRegularization": lambda x: layers.ActivityRegularization(l2=1e-3)(x),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_what_changes_no_number_behind_the_softmax_is_passed_over(behind):
    image = keras.Input((4,))
    assert ends_in_softmax(keras.Model(image, BEHIND[behind](layers.Dense(3, "softmax", name="top")(image))))
    assert not ends_in_softmax(keras.Model(image, BEHIND[behind](layers.Dense(3, name="top")(image))))
    with pytest.raises(TostError, match="ends in 'top', which gives neither logits nor"):
        ends_in_softmax(keras.Model(image, BEHIND[behind](layers.Dense(3, "sigmoid", name="top")(image))))


def at_each_step(layer: keras.layers.Layer) -> keras.Model:
    steps = keras.Input((4, 5))
    return keras.Model(steps, layers.TimeDistributed(layer)(steps), name="steps")


def test_a_layer_at_each_step_of_a_sequence_is_looked_into():
    plain, fused = (layers.Dense(3, activation, name="top") for activation in (None, "softmax"))
    assert not ends_in_softmax(at_each_step(plain))
    model = at_each_step(fused)
    assert ends_in_softmax(model)
    assert ends_in_softmax(at_each_step(layers.Softmax(axis=1)))  # of what the layer gets, [batch, features]
    assert ends_in_softmax(at_each_step(keras.Sequential([fused, layers.Dropout(0.3)])))
    assert ends_in_softmax(keras.Model(model.input, layers.TimeDistributed(layers.Identity())(model.output)))
    with pytest.raises(TostError, match="ends in 'top', which gives neither logits nor"):
        ends_in_softmax(at_each_step(layers.Dense(1, activation="sigmoid", name="top")))


@pytest.mark.parametrize(
    "softmax",
    [
        lambda x: layers.Softmax(axis=1, name="end")(x),
        lambda x: layers.Softmax(axis=[1, 2], name="end")(x),
        lambda x: tf.nn.softmax(x, axis=1, name="end"),
        lambda x: tf.nn.softmax(x, 1, name="end"),
        lambda x: layers.Flatten()(layers.Softmax(name="end")(x)),
    ],
)
def test_a_softmax_over_other_numbers_than_the_last_axis_is_refused(softmax, tmp_path):
    steps = keras.Input((4, 5))
    model = keras.Model(steps, softmax(steps), name="steps")
    with pytest.raises(TostError, match="'steps' ends in '.*', a softmax over other numbers than those along the last"):
        tost.export.saved_model(model, tmp_path / "model")


@pytest.mark.parametrize("axis", [-1, 2])
def test_a_softmax_over_the_last_axis_by_its_number(axis):
    steps = keras.Input((4, 5))
    assert ends_in_softmax(keras.Model(steps, layers.Softmax(axis=axis)(steps)))
    assert ends_in_softmax(keras.Model(steps, tf.nn.softmax(steps, axis=axis)))
