import numpy as np
import pytest

import tost_tf as tost
from tost_tf.analysis.activations import activation_sparsity, by_stage, stage_of
from tost_tf.compat import keras


def test_fractions_by_hand():
    image = keras.Input((4,))
    x = keras.layers.ReLU(name="stage1_relu")(image)
    x = keras.layers.Dense(2, activation="relu", use_bias=False, name="stage2_fused")(x)
    x = keras.layers.LeakyReLU(name="stage2_leaky")(x)
    model = keras.Model(image, x)
    model.get_layer("stage2_fused").set_weights([np.array([[1.0, -1.0]] * 4)])
    inputs = np.array([[1.0, -2.0, 0.0, 0.005], [3.0, -1.0, -1.0, -1.0]], np.float32)
    rows = activation_sparsity(model, inputs, epsilon=0.01)
    assert [(row["layer"], row["stage"], row["outputs"]) for row in rows] == [
        ("stage1_relu", "stage1", 8),
        ("stage2_fused", "stage2", 4),
    ]
    assert (rows[0]["zero"], rows[0]["near_zero"]) == (5 / 8, 6 / 8)
    assert (rows[1]["zero"], rows[1]["near_zero"]) == (2 / 4, 2 / 4)
    # Nothing of the listening stays.
    assert "call" not in vars(model.get_layer("stage1_relu"))
    np.testing.assert_array_equal(model(inputs), model.predict(inputs, verbose=0))


def test_ghost_neurons_are_nowhere_exactly_zero(small_model, small_images):
    ghosted = tost.GhostModel(small_model, "pswish", "none")
    plain = activation_sparsity(ghosted.plain, small_images[0])
    soft = activation_sparsity(ghosted.ghosted, small_images[0])
    assert [row["layer"] for row in plain] == [row["layer"] for row in soft] == ["stem_relu", "relu1", "relu2"]
    assert all(row["zero"] > 0.2 for row in plain)
    assert all(row["zero"] == 0 for row in soft)
    assert all(row["near_zero"] >= row["zero"] for row in [*plain, *soft])


def test_shared_and_nested_layers_are_counted_at_each_call():
    relu = keras.layers.ReLU(name="relu")
    inner = keras.Sequential([keras.layers.ReLU(name="inner_relu", input_shape=(3,))], name="inner")
    image = keras.Input((3,))
    model = keras.Model(image, relu(inner(relu(image)) - 1.0))
    rows = {row["layer"]: row for row in activation_sparsity(model, np.full((5, 3), 0.5, np.float32))}
    assert rows["relu"]["outputs"] == 30 and rows["relu"]["zero"] == 0.5
    assert rows["inner_relu"]["outputs"] == 15 and rows["inner_relu"]["zero"] == 0


def test_a_layer_that_nested_models_share_is_counted_once_and_left_as_it_was():
    relu, fused = keras.layers.ReLU(name="relu"), keras.layers.Dense(2, activation="relu", name="fused")
    nested = []
    for name in ("one", "two"):
        x = keras.Input((2,))
        nested.append(keras.Model(x, relu(fused(x)), name=name))
    image = keras.Input((2,))
    model = keras.Model(image, nested[1](nested[0](image)))
    fused.set_weights([np.array([[1.0, -1.0], [1.0, -1.0]]), np.zeros(2)])
    before = [dict(vars(layer)) for layer in (relu, fused)]
    rows = activation_sparsity(model, np.full((3, 2), 0.7, np.float32))
    assert [(row["layer"], row["outputs"], row["zero"]) for row in rows] == [("fused", 12, 0.5), ("relu", 12, 0.5)]
    assert vars(relu).keys() == before[0].keys() and "call" not in vars(relu)
    assert fused.activation is before[1]["activation"]
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)  # records nothing


def test_layers_at_each_step_of_a_sequence_are_counted():
    steps, kernel = keras.Input((5, 3)), [np.array([[1.0, -1.0]] * 3)]
    dense = keras.layers.Dense(2, "relu", use_bias=False, name="dense")
    for inner in (dense, keras.Sequential([keras.Input((3,)), dense])):
        model = keras.Model(steps, keras.layers.TimeDistributed(inner)(steps))
        dense.set_weights(kernel)
        (row,) = activation_sparsity(model, np.full((7, 5, 3), 0.3, np.float32))
        assert (row["layer"], row["outputs"], row["zero"]) == ("dense", 70, 0.5)


def test_of_a_model_with_ghosts_its_view_in_use_is_counted(small_model, small_images):
    ghosted = tost.GhostModel(small_model, "pswish", "none")
    assert activation_sparsity(ghosted, small_images[0]) == activation_sparsity(ghosted.ghosted, small_images[0])
    ghosted.remove_ghosts()
    assert activation_sparsity(ghosted, small_images[0]) == activation_sparsity(ghosted.plain, small_images[0])


def test_stages_weight_every_output_equally():
    rows = [
        {"stage": "a", "zero": 0.5, "near_zero": 0.6, "outputs": 10},
        {"stage": "a", "zero": 0.2, "near_zero": 0.3, "outputs": 30},
        {"stage": "b", "zero": 0.1, "near_zero": 0.1, "outputs": 5},
    ]
    first, second = by_stage(rows)
    assert first["zero"] == pytest.approx(0.275) and first["near_zero"] == pytest.approx(0.375)
    assert second == {"stage": "b", "zero": pytest.approx(0.1), "near_zero": pytest.approx(0.1), "outputs": 5}


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("stage2_block1_relu1", "stage2"),
        ("conv3_block2_1_relu", "conv3"),
        ("stem_relu", "stem"),
        ("block11_x", "block11"),
    ],
)
def test_stage_of_a_layer(name, stage):
    assert stage_of(name) == stage
