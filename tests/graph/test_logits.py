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
