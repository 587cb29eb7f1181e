import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.export.fresh_process import run_in_fresh_process
from tost_tf.registry import FORMATS

PIXELS = np.random.default_rng(1).integers(0, 256, (9, 6, 6, 2)).astype(np.uint8)
MEAN, DEVIATION = (0.1, 0.4), (0.5, 0.3)
INPUTS = ((PIXELS / 255 - MEAN) / DEVIATION).astype(np.float32)


@pytest.fixture
def final():
    """Two convolutions of 6,480 and 38,880 weights, with statistics that a classifier of 10 classes reads."""
    layers = keras.layers
    image = keras.Input((6, 6, 2))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(60, 3, padding="same", use_bias=False)(image)))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(72, 3, strides=2, use_bias=False)(x)))
    model = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    return tost.strip(tost.sparsify(model, tost.masks.random(model, sparsity=0.95)))


def found_here(path, kind):
    """Logits of a file, and how many zeros its variables have, by what a fresh process runs."""
    functions, variables = kind.load(str(path))
    return functions["logits"](PIXELS), sum(int(np.sum(np.asarray(value) == 0)) for _, value in variables)


@pytest.mark.parametrize(("precision", "allowed"), [("float32", 1e-6), ("float16", 2e-3), ("int8", 0.1)])
def test_file_gives_the_logits_and_has_the_zeros(final, tmp_path, precision, allowed):
    path, kind = tmp_path / "model.tflite", FORMATS[f"tflite {precision}"]
    sparse = tost.export.tflite(final, path, MEAN, DEVIATION, precision, PIXELS)
    logits, zeros = found_here(path, kind)
    expected = final(INPUTS).numpy()
    assert np.abs(logits - expected).max() <= allowed * np.abs(expected).max()
    kernels = [weight.numpy() for weight in final.weights if "kernel" in weight.name]
    assert zeros >= sum(int(np.sum(kernel == 0)) for kernel in kernels)
    # 95% of 46,000 weights need not be stored.
    if precision != "float16":
        assert sparse and path.stat().st_size < 0.5 * 4 * final.count_params()
    assert [file.name for file in tmp_path.iterdir()] == ["model.tflite"]
    if precision == "float32":  # the others are loaded by the same function
        fresh = run_in_fresh_process(kind, path, PIXELS)
        np.testing.assert_array_equal(fresh.logits, logits)
        assert fresh.zeros.sum() == zeros
    assert kind.load is FORMATS["tflite float32"].load


def test_sparse_storage_that_changes_results_is_not_used(tmp_path):
    # Of this network TensorFlow Lite 2.21 makes NaN when it stores its float16 kernels sparsely.
    keras.utils.set_random_seed(0)
    model = tost.models.build("resnet8", (6, 6, 2), 10, 0.5)
    final = tost.strip(tost.sparsify(model, tost.masks.random(model, sparsity=0.95, seed=0)))
    for images in (PIXELS, None):
        tost.export.tflite(final, tmp_path / "model.tflite", MEAN, DEVIATION, "float16", images)
        logits, _ = found_here(tmp_path / "model.tflite", FORMATS["tflite float16"])
        assert np.abs(logits - final(INPUTS)).max() <= 2e-3 * np.abs(final(INPUTS)).max()


def test_dense_kernels_are_stored_densely(tmp_path):
    model = tost.models.build("resnet8", (6, 6, 2), 10, 0.25)
    assert not tost.export.tflite(model, tmp_path / "model.tflite")


def test_what_cannot_be_written_is_refused(final, tmp_path):
    with pytest.raises(TostError, match="must end with .tflite"):
        tost.export.tflite(final, tmp_path / "model.lite")
    with pytest.raises(TostError, match="precision is 'int4', it must be one of float32, float16, int8"):
        tost.export.tflite(final, tmp_path / "model.tflite", precision="int4")
    with pytest.raises(TostError, match="int8 needs images"):
        tost.export.tflite(final, tmp_path / "model.tflite", precision="int8")


def test_network_for_images_of_any_size(tmp_path):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(image)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    tost.export.tflite(model, tmp_path / "any.tflite")
    pixels = PIXELS.repeat(3, 1)[..., [0, 1, 0]]
    logits = FORMATS["tflite float32"].load(str(tmp_path / "any.tflite"))[0]["logits"](pixels)
    np.testing.assert_allclose(logits, model(pixels.astype("float32")), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("unroll", [False, True])
def test_recurrent_layers_are_written_unrolled_or_refused_by_name(tmp_path, unroll):
    x = keras.Input((6, 4))
    lstm = keras.layers.LSTM(3, unroll=unroll, name="memory")
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Bidirectional(lstm, name="both")(x)), name="net")
    path = tmp_path / "model.tflite"
    if unroll:
        tost.export.tflite(model, path)
        assert path.exists()
        return
    with pytest.raises(TostError, match="layer 'forward_memory' of net cannot .*: make the network with unroll=True"):
        tost.export.tflite(model, path)
    assert not list(tmp_path.iterdir())
