import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.network import add_ghosts_and_compile, in_full_precision
from tost_tf.ghost.schedule import GhostSchedule
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.precision import in_precision

FLOAT32_PARTS = {"image", "logits"}


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_layers_compute_in_16_bits_with_weights_of_32_and_float32_logits(small_model, small_images, precision):
    mixed = in_precision(small_model, precision)
    for layer in mixed.layers:
        assert layer.compute_dtype == ("float32" if layer.name in FLOAT32_PARTS else precision), layer.name
        assert all(weight.dtype == tf.float32 for weight in layer.weights)
    logits = mixed(small_images[0])
    assert logits.dtype == tf.float32
    exact = small_model(small_images[0])
    assert 0 < np.max(np.abs(logits - exact)) < 0.05
    assert keras.mixed_precision.global_policy().name == "float32"
    assert in_precision(small_model, "none") is small_model


def test_layers_after_the_last_weights_are_float32_too(small_model):
    image = keras.Input((6, 6, 2))
    x = keras.layers.Reshape((4,))(small_model(tf.nn.relu(image)))  # the last weights are in a nested model
    mixed = in_precision(keras.Model(image, keras.layers.Activation("softmax")(x)), "bfloat16")
    nested = mixed.get_layer("small")
    assert {layer.name for layer in nested.layers if layer.compute_dtype == "float32"} == FLOAT32_PARTS
    assert nested.get_layer("conv1").compute_dtype == "bfloat16"
    assert mixed.layers[-1].compute_dtype == mixed.layers[-2].compute_dtype == "float32"


def run(small_model, small_images, precision, skips, **options):
    config = RunConfig.make(dataset="digits", epochs=4, mixed_precision=precision, ghost_skips=skips, **options)
    masks = tost.masks.random(small_model, sparsity=0.6)
    model = add_ghosts_and_compile(config, small_model, masks)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kernels = prunable_weights(model.plain)
            seen.append(all(np.array_equal(kernels[path] != 0, mask == 1) for path, mask in masks.items()))

    batches = tf.data.Dataset.from_tensor_slices(small_images).batch(10)
    history = model.fit(batches, epochs=3, verbose=0, callbacks=[GhostSchedule(2, 2), Watch()]).history
    return config, masks, model, history["loss"], seen


@pytest.mark.parametrize(("precision", "skips"), [("float16", "projection"), exhaustive("bfloat16", "identity")])
def test_masks_stay_exact_and_what_is_stripped_is_float32(small_model, small_images, precision, skips, tmp_path):
    _, _, model, losses, seen = run(small_model, small_images, precision, skips)
    assert seen == [True] * 6 and np.isfinite(losses).all()
    ghosts = [layer for layer in model.submodules if isinstance(layer, tost.GhostSkip | tost.GhostActivation)]
    assert ghosts and {layer.compute_dtype for layer in ghosts} == {precision}
    assert {layer.compute_dtype for ghost in ghosts for layer in getattr(ghost, "branch", [])} == {precision}
    final = tost.strip(model)
    assert {layer.dtype_policy.name for layer in final.layers} == {"float32"}
    # Not the masks, which are behind the weights.
    kept = [weight.numpy() for layer in model.plain.layers for weight in getattr(layer, "layer", layer).weights]
    for mine, theirs in zip(final.get_weights(), kept, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_array_equal(mine, theirs)
    tost.export.saved_model(final, tmp_path / "export")
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    assert {variable.dtype for variable in loaded.network_variables} == {tf.float32}
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    types = {attr.type for node in graph.node for attr in node.attr.values() if attr.HasField("type")}
    assert types.isdisjoint({tf.float16.as_datatype_enum, tf.bfloat16.as_datatype_enum})


def test_loss_is_scaled_for_float16_only(small_model):
    scaled = {}
    for precision in ("none", "float16", "bfloat16"):
        config = RunConfig.make(dataset="digits", epochs=4, mixed_precision=precision)
        optimizer = add_ghosts_and_compile(config, small_model, None).optimizer
        scaled[precision] = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scaled == {"none": False, "float16": True, "bfloat16": False}


def test_checkpoint_of_scaled_losses_is_read_in_either_precision(small_model, small_images, tmp_path):
    config, masks, model, *_ = run(small_model, small_images, "float16", "projection")
    Checkpoints(tmp_path, model, model.optimizer).save(3, 0.5, True)
    again = add_ghosts_and_compile(config, small_model, masks)
    assert Checkpoints(tmp_path, again, again.optimizer).restore_latest() == 3
    assert int(again.optimizer.dynamic_counter) == int(model.optimizer.dynamic_counter) > 0
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) > 0
    exact = add_ghosts_and_compile(in_full_precision(config), small_model, masks)
    assert Checkpoints(tmp_path, exact, exact.optimizer).restore_latest() == 3
    for copy in (again, exact):
        for mine, theirs in zip(copy.plain.get_weights(), model.plain.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


# Two views with and without XLA take long; a masked model is compiled in tests/training/test_relative_step.py.
@pytest.mark.exhaustive
def test_compiled_with_xla_it_learns_the_same(small_model, small_images):
    _, _, _, plain, _ = run(small_model, small_images, "none", "projection")
    _, _, model, compiled, seen = run(small_model, small_images, "none", "projection", jit_compile=True)
    assert model.jit_compile and seen == [True] * 6
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)
