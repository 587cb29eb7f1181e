"""All analyses of a model in double precision, on images in single precision as they come from files."""

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import quick
from tost_tf.analysis import activations, gradient_flow, hessian, landscape
from tost_tf.analysis.kept_weights import KeptWeights, loss_and_accuracy
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError

LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


@pytest.fixture
def pair(small_model):
    """A sparse network with ghosts in single precision, and the same in double precision."""
    double = keras.models.clone_model(
        small_model, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"dtype": "float64"})
    )
    double.set_weights(small_model.get_weights())
    masks = tost.masks.random(small_model, sparsity=0.3)
    models = [tost.GhostModel(tost.sparsify(model, masks), "pswish", "projection") for model in (small_model, double)]
    assert [model.compute_dtype for model in (models[0].plain.layers[1], models[1].plain.layers[1])] == [
        "float32",
        "float64",
    ]
    return models


ANALYSES = {
    "activations": lambda model, *data: activations.activation_sparsity(model.ghosted, data[0]),
    "gradient flow": lambda model, *data: [{"flow": gradient_flow.gradient_flow(model, *data, LOSS)}],
    "hessian": lambda model, *data: [
        {"eigenvalue": row["eigenvalue"]}
        for row in hessian.top_eigenvalues(hessian.MaskedHessian(model, *data), 2, 8)[0]
    ],
    "eigenvector": lambda model, *data: landscape.loss_along_direction(
        model, hessian.top_eigenvalues(hessian.MaskedHessian(model, *data), 1, 8)[1], np.array([-0.3, 0.1]), *data
    ),
    "weights": lambda model, *data: landscape.weight_landscape(model, *data, points=2, reach=0.3),
    "inputs": lambda model, *data: landscape.input_landscape(model, *data, points=2, reach=0.3),
}


# The first eigenvalue is found on the way to its eigenvector.
@pytest.mark.parametrize("name", quick(ANALYSES, ANALYSES.keys() - {"hessian"}))
def test_an_analysis_gives_the_same_in_double_precision(pair, small_images, name):
    single, double = (ANALYSES[name](model, *small_images) for model in pair)
    assert len(single) == len(double) > 0
    for one, other in zip(single, double, strict=True):
        assert list(one) == list(other)
        for key, value in one.items():
            assert value == (other[key] if isinstance(value, str) else pytest.approx(other[key], rel=2e-4))


def test_parts_of_a_vector_have_the_types_of_the_variables(pair):
    for model, dtype in zip(pair, (np.float32, np.float64), strict=True):
        weights = KeptWeights(model)
        vector = np.random.default_rng(3).normal(size=weights.size)
        parts = weights.parts(vector)
        kept = vector * np.concatenate([mask.ravel() for mask in weights.masks])
        assert {part.dtype for part in parts} == {np.dtype(dtype)}
        np.testing.assert_allclose(weights.flat(parts), kept, rtol=1e-6 if dtype == np.float32 else 0)


MEAN_SQUARES = {
    "gradient flow": lambda model, *data: gradient_flow.gradient_flow(model, *data, loss="mse"),
    "hessian": lambda model, *data: float(
        np.linalg.norm(
            hessian.MaskedHessian(model, *data, loss="mse").product(np.linspace(-1, 2, KeptWeights(model).size))
        )
    ),
    "line": lambda model, *data: [
        row["loss"]
        for row in landscape.loss_along_direction(
            model, np.linspace(-1, 2, KeptWeights(model).size), np.array([0.0, 0.3]), *data, loss="mse"
        )
    ],
    "weights": lambda model, *data: [
        row["loss"] for row in landscape.weight_landscape(model, *data, points=2, loss="mse")
    ],
    "inputs": lambda model, *data: [
        row["loss"] for row in landscape.input_landscape(model, *data, points=2, loss="mse")
    ],
}


@pytest.mark.parametrize("name", MEAN_SQUARES)
def test_an_analysis_takes_any_loss_and_any_data(name):
    layers = [keras.Input((4,)), keras.layers.Dense(5, "tanh", name="a"), keras.layers.Dense(2, name="b")]
    model = tost.sparsify(keras.Sequential(layers), sparsity=0.3)
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(9, 4)).astype("float32"), generator.normal(size=(9, 2)).astype("float32")
    of_arrays = MEAN_SQUARES[name](model, x, y)
    of_dataset = MEAN_SQUARES[name](model, tf.data.Dataset.from_tensor_slices((x, y)).batch(4))
    of_pair = MEAN_SQUARES[name](model, (x, y))
    assert of_dataset == pytest.approx(of_arrays, rel=1e-6) and of_pair == pytest.approx(of_arrays, rel=1e-6)
    with pytest.raises(TostError, match="there are 9 inputs and 8 labels"):
        MEAN_SQUARES[name](model, x, y[:8])


def test_the_loss_of_a_regression_is_the_mean_over_examples_and_has_no_accuracy():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[2.0], [-1.0]])])
    x, y = np.array([[1.0, 3.0], [0.5, 0.0], [2.0, 1.0]], "float32"), np.array([[1.0], [4.0], [3.5]], "float32")
    value, accuracy = loss_and_accuracy(model, x, y, "mse", batch=2)  # outputs -1, 1, 3
    assert value == pytest.approx((4 + 9 + 0.25) / 3) and np.isnan(accuracy)
