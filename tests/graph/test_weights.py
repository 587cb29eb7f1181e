import numpy as np
import pytest

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.graph.weights import (
    are_saved_here,
    load_weights,
    read_weights,
    require_layers,
    save_weights,
    weight_layers,
)

layers = keras.layers


def network(classes, hidden=(), name="body"):
    image = keras.Input((3,))
    body = keras.Sequential([layers.InputLayer((3,)), layers.Dense(4, name="dense")], name=name)
    x = layers.BatchNormalization(name="bn")(body(image))
    for number in hidden:
        x = layers.Dense(number, name=f"head_hidden{number}")(x)
    x = layers.Dense(classes, name="head")(x)
    return keras.Model(
        image, layers.Dense(2, name="tail")(layers.Concatenate()([x, layers.Dense(5, name="side")(image)]))
    )


def test_layers_of_weights_have_their_whole_path():
    paths = ["body/dense"] * 2 + ["bn"] * 2 + ["head"] * 2 + ["side"] * 2 + ["tail"] * 2 + ["bn"] * 2
    assert sorted(weight_layers(network(6))) == sorted(paths)


def test_weights_come_back_as_they_were(tmp_path):
    one, other = network(6), network(6)
    save_weights(one, tmp_path / "w.npz")
    load_weights(other, tmp_path / "w.npz")
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))
    assert are_saved_here(read_weights(tmp_path / "w.npz")) and not are_saved_here({"conv.weight": 1})


def test_a_normalization_computes_with_the_weights_of_the_file(tmp_path):
    one, other = (keras.Sequential([keras.Input((2,)), layers.Normalization(name="scale")]) for _ in range(2))
    for model, factor in ((one, 1.0), (other, 3.0)):
        model.layers[0].adapt(factor * np.array([[1.0, -4.0], [2.5, 0.3]]))
        model(np.ones((1, 2)))
    save_weights(one, tmp_path / "w.npz")
    load_weights(other, tmp_path / "w.npz")
    x = np.array([[0.7, 2.0]], np.float32)
    np.testing.assert_allclose(other(x), one(x))
    np.testing.assert_allclose(one(x), (x - [[1.75, -1.85]]) / [[0.75, 2.15]], rtol=1e-5)


@pytest.mark.parametrize("hidden", [(), (7, 8)])
def test_layers_that_start_anew(tmp_path, hidden):
    """The head of the file has other shapes, and fewer weights."""
    old, new = network(6), network(9, hidden)
    save_weights(old, tmp_path / "w.npz")
    before = new.get_weights()
    with pytest.raises(TostError, match="name layers that should be initialised with new_layers") as error:
        load_weights(new, tmp_path / "w.npz")
    assert len(str(error.value)) < 500
    load_weights(new, tmp_path / "w.npz", "^(head|tail)")
    for value, weight, layer in zip(before, new.get_weights(), weight_layers(new), strict=True):
        assert np.array_equal(value, weight) == layer.startswith(("head", "tail")) or not weight.any() or layer == "bn"
    assert np.array_equal(new.get_layer("side").kernel, old.get_layer("side").kernel)
    assert np.array_equal(new.get_layer("body").get_layer("dense").kernel, old.get_layer("body").layers[0].kernel)


def test_everything_else_must_match(tmp_path):
    save_weights(network(6), tmp_path / "w.npz")
    with pytest.raises(TostError, match=r"1 of them differ in name or shape, the first is tail/kernel"):
        load_weights(network(9), tmp_path / "w.npz", "^head")
    with pytest.raises(TostError, match="new_layers='hat' matches no layer of"):
        require_layers(network(9), "hat")
    require_layers(network(9), "")
    require_layers(network(9), "body/")


def test_pickle_is_never_read():
    with pytest.raises(TostError, match="'w.pt' is a pickle, which is never read: convert it"):
        read_weights("w.pt")


def test_a_vocabulary_is_no_weight_of_a_file(tmp_path):
    words = layers.TextVectorization(max_tokens=9, output_sequence_length=2, name="words")
    words.adapt(["a b", "b c"])
    text = keras.Input((1,), dtype="string")
    model = keras.Model(text, layers.Embedding(9, 2)(words(text)))
    with pytest.raises(TostError, match="the layer 'words' was adapted to a vocabulary, which a weights file cannot"):
        save_weights(model, tmp_path / "w.npz")
    words = layers.TextVectorization(9, output_sequence_length=2, vocabulary=["b", "c"])
    save_weights(keras.Model(text, layers.Embedding(9, 2)(words(text))), tmp_path / "w.npz")
