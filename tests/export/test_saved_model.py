import numpy as np
import pytest
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import tost_tf as tost
from tost_tf.compat import keras, keras3, tf
from tost_tf.errors import TostError
from tost_tf.export.format import Preprocessing
from tost_tf.registry import FORMATS

PIXELS = np.random.default_rng(1).integers(0, 256, (9, 6, 6, 2)).astype(np.uint8)
MEAN, DEVIATION = (0.1, 0.4), (0.5, 0.3)
INPUTS = ((PIXELS / 255 - MEAN) / DEVIATION).astype(np.float32)


@pytest.fixture
def final(small_model):
    return tost.strip(tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.8)))


def test_signature_takes_pixels_and_gives_logits_and_probabilities(final, tmp_path):
    tost.export.saved_model(final, tmp_path / "model", MEAN, DEVIATION)
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert serve.structured_input_signature[1] == {"image": tf.TensorSpec((None, 6, 6, 2), tf.float32, "image")}
    for count in (1, 9):
        outputs = serve(image=tf.constant(PIXELS[:count], tf.float32))
        assert set(outputs) == {"logits", "probabilities"}
        expected = final(INPUTS[:count]).numpy()
        np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)
        softmax = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
        np.testing.assert_allclose(outputs["probabilities"], softmax, atol=1e-6)


def test_bytes_are_served_too_and_keras_3_loads_it_as_a_layer(final, tmp_path):
    tost.export.saved_model(final, tmp_path / "model", MEAN, DEVIATION)
    expected = final(INPUTS).numpy()
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_uint8"]
    np.testing.assert_allclose(serve(image=tf.constant(PIXELS))["logits"], expected, atol=1e-5)
    layer = keras3().layers.TFSMLayer(str(tmp_path / "model"), call_endpoint="serving_default")
    for count in (2, 9):
        outputs = layer(tf.constant(PIXELS[:count], tf.float32))
        np.testing.assert_allclose(outputs["logits"], expected[:count], atol=1e-5)


def test_functions_have_the_names_of_the_signatures(final, tmp_path):
    tost.export.saved_model(final, tmp_path / "model")
    message = SavedModel.FromString((tmp_path / "model/saved_model.pb").read_bytes())
    aliases = message.meta_graphs[0].meta_info_def.function_aliases
    assert set(aliases.values()) == {"serving_default", "serving_uint8"}
    assert set(aliases) <= {function.signature.name for function in message.meta_graphs[0].graph_def.library.function}


def test_no_custom_object_is_inside(final, tmp_path):
    tost.export.saved_model(final, tmp_path / "model")
    content = (tmp_path / "model/saved_model.pb").read_bytes()
    for word in (b"tost_tf", b"FixedMask", b"fixed_mask", b"ghost", b"Ghost", b"tf_keras_layer"):
        assert word not in content


def test_network_gets_the_pixels_without_normalisation(final, tmp_path):
    tost.export.saved_model(final, tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    outputs = loaded.signatures["serving_default"](image=tf.constant(PIXELS, tf.float32))
    np.testing.assert_allclose(outputs["logits"], final(PIXELS.astype(np.float32)), rtol=1e-5, atol=1e-4)


def test_earlier_export_stays_when_the_new_one_fails(final, tmp_path, monkeypatch):
    tost.export.saved_model(final, tmp_path / "model")
    before = sorted(file.name for file in tmp_path.rglob("*"))

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        tost.export.saved_model(final, tmp_path / "model")
    assert sorted(file.name for file in tmp_path.rglob("*")) == before


def test_what_cannot_be_served_is_refused(final, tmp_path):
    one, two = keras.Input((3,)), keras.Input((3,))
    with pytest.raises(TostError, match="has 2 inputs and 1 outputs"):
        tost.export.saved_model(keras.Model([one, two], keras.layers.Add()([one, two])), tmp_path / "model")
    with pytest.raises(TostError, match="mean and deviation belong together"):
        tost.export.saved_model(final, tmp_path / "model", mean=MEAN)


def test_nothing_but_a_saved_model_is_replaced(final, tmp_path, monkeypatch):
    thesis = tmp_path / "work" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years")
    monkeypatch.chdir(tmp_path)
    for path, message in (
        (tmp_path / "work", "work' holds something else than a SavedModel: choose another path"),
        (thesis, r"thesis\.txt' is a file, or no name of a folder"),
        ("", "the path '' is a file, or no name of a folder"),
    ):
        with pytest.raises(TostError, match=message):
            tost.export.saved_model(final, path)
    assert [file.name for file in tmp_path.rglob("*")] == ["work", "thesis.txt"] and thesis.read_text() == "years"
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        tost.export.saved_model(final, tmp_path / "empty")
    assert (tmp_path / "empty/saved_model.pb").exists()


@pytest.mark.parametrize(
    ("mean", "deviation", "message"),
    [
        ([0.3, 0.4, 0.2], [0.2], "mean has 3 numbers, it must have one for each of the 2 channels, or one"),
        ([0.3], [0.0], "deviation is 0, it must be above 0"),
        ([float("nan")], [0.2], "mean is nan, it must be finite"),
        ([120.0, 125.0], [63.0, 62.0], "mean is 125, and is to be in units of pixel / 255: divide both by"),
    ],
)
def test_mean_and_deviation_that_cannot_be_right(final, tmp_path, mean, deviation, message):
    with pytest.raises(TostError, match=message):
        tost.export.saved_model(final, tmp_path / "model", mean, deviation)


@pytest.mark.parametrize(
    ("export", "name"),
    [(tost.export.saved_model, "out"), (tost.export.tflite, "out.tflite"), (tost.export.keras3, "out.keras")],
)
def test_unfinished_models_are_refused(export, name, small_model, tmp_path):
    sparse = tost.sparsify(small_model, sparsity=0.3)
    for model in (sparse, tost.GhostModel(sparse)):
        with pytest.raises(TostError, match="still has its masks or ghosts: call `tost_tf.strip` first"):
            export(model, tmp_path / name)
    final = tost.strip(sparse)
    final.get_layer("bn1").gamma.assign(np.float32([1, 2, np.nan, 1, 1]))
    with pytest.raises(TostError, match="bn1/gamma of .* has values that are not finite"):
        export(final, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_probability_of_one_logit_is_its_sigmoid(tmp_path):
    model = keras.Sequential([keras.layers.Conv2D(1, 3, input_shape=(4, 4, 3))])
    tost.export.saved_model(model, tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    outputs = serve(image=tf.constant(np.random.default_rng(3).normal(size=(2, 4, 4, 3)), tf.float32))
    logits = outputs["logits"].numpy().astype(np.float64)
    np.testing.assert_allclose(outputs["probabilities"], 1 / (1 + np.exp(-logits)), rtol=1e-6)


@pytest.mark.parametrize(
    ("export", "name"),
    [(tost.export.saved_model, "out"), (tost.export.tflite, "out.tflite"), (tost.export.keras3, "out.keras")],
)
def test_what_is_no_model_is_refused(export, name, tmp_path):
    with pytest.raises(TostError, match="expected a functional or Sequential tf_keras model, got an object of type"):
        export({"kernel": 3}, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_values_that_are_no_bytes_may_have_any_mean(tmp_path):
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    scans = np.random.default_rng(5).normal(600, 100, (4, 2, 2, 1)).astype(np.float32)
    tost.export.saved_model(model, tmp_path / "one", [2.35], [0.39])
    serve = tf.saved_model.load(str(tmp_path / "one")).signatures["serving_default"]
    np.testing.assert_allclose(serve(image=scans)["logits"], model((scans / 255 - 2.35) / 0.39), rtol=1e-4, atol=1e-5)
    for kind, name in (("saved_model", "two"), ("tflite float32", "two.tflite")):
        FORMATS[kind].write(model, tmp_path / name, Preprocessing([7.8], [2.3], 4 * scans))  # a run knows its data
        with pytest.raises(TostError, match="mean is 7.8, and is to be in units of pixel / 255"):
            FORMATS[kind].write(model, tmp_path / "no.tflite", Preprocessing([7.8], [2.3], PIXELS))


def lookup(kind: str) -> tuple[keras.layers.Layer, tf.Tensor]:
    """A layer with a table, and values to look up, of which the last is not in the table."""
    if kind == "StringLookup":
        return keras.layers.StringLookup(vocabulary=["b", "a"]), tf.constant([["a"], ["b"], ["z"]])
    if kind == "IntegerLookup":
        layer, values = keras.layers.IntegerLookup(), np.array([[5], [7], [3]])
        layer.adapt(np.array([[5], [7], [7]]))
        return layer, tf.constant(values)
    layer = keras.layers.TextVectorization(output_sequence_length=1)
    layer.adapt(["a b", "b"])
    return layer, tf.constant([["a"], ["b"], ["z"]])


@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_tables_of_lookup_layers_are_in_the_file_and_stay_in_a_compacted_model(kind, tmp_path):
    layer, values = lookup(kind)
    given = keras.Input((1,), dtype=values.dtype)
    model = keras.Model(
        given, keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Embedding(5, 4)(layer(given))))
    )
    expected = model(values).numpy()
    assert len(np.unique(expected[:, 0])) == 3
    compacted, _ = tost.compact(model)
    np.testing.assert_allclose(compacted(values), expected, rtol=1e-6)
    tost.export.saved_model(compacted, tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    ((name, _),) = serve.structured_input_signature[1].items()
    np.testing.assert_allclose(serve(**{name: values})["logits"], expected, rtol=1e-6)
