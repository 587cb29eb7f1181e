"""What data functions of a model take, and which losses."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.batches import Batches, inputs_alone, joined, scalar_loss

GENERATOR = np.random.default_rng(4)
X = GENERATOR.normal(size=(12, 5)).astype("float32")
Y = GENERATOR.integers(0, 3, 12)


class Four(keras.utils.Sequence):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(4 * index, 4 * index + 4)
        return X[part], Y[part]


KINDS = {
    "arrays": (X, Y),
    "tensors": (tf.constant(X), tf.constant(Y)),
    "dataset": tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),
    "sequence": Four(),
    "list": [Four()[index] for index in range(3)],
}


@pytest.fixture
def model():
    layers = [keras.Input((5,)), keras.layers.Dense(7, "relu", name="a"), keras.layers.Dense(3, name="b")]
    return keras.Sequential(layers)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_same(model, kind):
    data = Batches(KINDS[kind])
    for _ in range(2):
        assert np.concatenate([labels for _, labels in data]).tolist() == Y.tolist()
    expected = tost.masks.snip(model, [(X, Y)], sparsity=0.6)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert tost.masks.snip(model, KINDS[kind], sparsity=0.6) == expected
    assert tost.masks.snip(model, KINDS[kind], sparsity=0.6, loss=loss) == expected
    start = model.get_weights()
    found = []
    for given in (None, loss):
        model.set_weights(start)
        found.append(list(tost.rescale_init(model, KINDS[kind], steps=2, loss=given).values()))
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize("kind", ["arrays", "dataset", "sequence"])
def test_lottery_takes_every_kind_of_data_and_integer_labels(model, kind):
    masks = tost.masks.lottery(model, KINDS[kind], sparsity=0.5, epochs=1, fraction=0.5)
    assert masks.kept == 28  # half of 56


def test_grasp_of_a_regression_by_hand():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, name="d")])
    model.set_weights([np.array([[1.0], [-2.0]])])
    x, y = np.array([[1.0, 0.5], [0.3, 2.0]], "float32"), np.array([[0.7], [0.2]], "float32")
    from tost_tf.masks.gradient_scores import grasp_scores, snip_scores

    weights = {"d/kernel": model.layers[0].kernel}
    theta = np.array([1.0, -2.0])
    gradient = 2 * x.T @ (x @ theta - y[:, 0])  # of the sum of squares
    np.testing.assert_allclose(
        snip_scores(model, weights, [(x, y)], "mse")["d/kernel"][:, 0], np.abs(gradient * theta), rtol=1e-5
    )
    hessian = 2 * x.T @ x
    np.testing.assert_allclose(
        grasp_scores(model, weights, [(x, y)], "mse")["d/kernel"][:, 0], theta * (hessian @ gradient), rtol=1e-5
    )
    assert tost.masks.grasp(model, (x, y), sparsity=0.5, loss="mse").kept == 1


def test_what_is_no_data_and_no_loss_is_told_what_is_accepted(model):
    for wrong in ("digits", 3, {"image": X}, None):
        with pytest.raises(TostError, match="a keras.utils.Sequence, a pair of arrays"):
            tost.masks.snip(model, wrong, sparsity=0.5)
    for wrong in ([(X, Y, Y)], [X]):
        with pytest.raises(TostError, match="a batch is a pair"):
            tost.rescale_init(model, wrong, steps=1)
    with pytest.raises(TostError, match="a loss is a name"):
        scalar_loss(3)


@pytest.mark.parametrize("kind", KINDS)
def test_all_examples_as_arrays(kind):
    inputs, labels = joined(KINDS[kind])
    np.testing.assert_array_equal(inputs, X)
    np.testing.assert_array_equal(labels, Y)
    np.testing.assert_array_equal(joined(X, Y)[1], Y)


@pytest.mark.parametrize("kind", KINDS)
def test_all_inputs_as_one_array(kind):
    np.testing.assert_array_equal(inputs_alone(KINDS[kind]), X)
    np.testing.assert_array_equal(inputs_alone(X), X)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X,), "there are inputs and no labels"),
        ((X, Y[:5]), "there are 12 inputs and 5 labels"),
        (([],), "the data have no example"),
        (([({"one": X, "two": X}, Y)],), "the examples have several inputs each"),
    ],
)
def test_examples_that_cannot_be_joined(data, message):
    with pytest.raises(TostError, match=message):
        joined(*data)


def test_a_loss_under_a_strategy_is_the_mean_over_the_examples():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        loss = scalar_loss(keras.losses.MeanSquaredError())
        assert float(strategy.run(lambda: loss(tf.constant([[1.0], [3.0]]), tf.constant([[2.0], [7.0]])))) == 8.5


class Squares(keras.losses.Loss):
    """A user's loss, which leaves shapes and types to Keras."""

    def call(self, labels, outputs):
        return tf.reduce_mean((labels - outputs) ** 2, -1)


@pytest.mark.parametrize("kind", [np.asarray, tf.constant, list])
@pytest.mark.parametrize("loss", ["mse", keras.losses.mean_squared_error, keras.losses.MeanSquaredError(), Squares()])
def test_labels_get_the_rank_and_type_of_the_outputs(kind, loss):
    labels, outputs = np.array([0.5, 2.0, -1.0]), tf.constant([[1.0], [4.0], [0.2]])
    assert float(scalar_loss(loss)(kind(labels), outputs)) == pytest.approx((0.25 + 4 + 1.44) / 3)
    assert float(scalar_loss(loss)(kind(labels[:, None]), outputs)) == pytest.approx((0.25 + 4 + 1.44) / 3)


def test_labels_of_a_loss_are_those_of_fit():
    by_class = scalar_loss("sparse_categorical_crossentropy")
    probabilities = tf.constant([[0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    expected = -np.log([0.7, 0.8, 0.1]).mean()
    for labels in ([0, 1, 1], np.array([[0], [1], [1]])):
        assert float(by_class(labels, probabilities)) == pytest.approx(expected)
    logistic, logits = keras.losses.BinaryCrossentropy(from_logits=True), tf.constant([[0.4], [-1.5]])
    expected = np.log1p(np.exp([0.4, 1.5])).mean()
    assert float(scalar_loss(logistic)(np.array([0, 1]), logits)) == pytest.approx(expected)
    per_step = tf.constant([[[1.0], [2.0]]])  # [examples, steps, 1]
    assert float(scalar_loss("mae")(np.array([[0.3, 4.0]]), per_step)) == pytest.approx((0.7 + 2.0) / 2)


def test_a_loss_of_several_outputs_gets_them_as_they_are():
    def loss(labels, outputs):
        return outputs["a"] - labels["a"] + outputs["b"] - labels["b"]

    given = {"a": np.array([1.0, 2.5], "float32"), "b": np.array([0.0, 0.3], "float32")}
    assert float(
        scalar_loss(loss)(given, {name: tf.constant(2 * part) for name, part in given.items()})
    ) == pytest.approx(1.9)


def test_labels_may_be_structures_of_arrays_and_weights_may_follow():
    inputs, labels = np.zeros((5, 2)), {"a": np.arange(5), "b": np.arange(5) * 2}
    (batch,) = Batches((inputs, labels))
    np.testing.assert_array_equal(batch[1]["b"], [0, 2, 4, 6, 8])
    triple = (inputs, np.arange(5), np.arange(5.0))
    (batch,) = Batches(triple, takes_weights=True)
    np.testing.assert_array_equal(batch[2], np.arange(5.0))
    assert Batches(triple[:2]).is_repeatable and not Batches(iter([])).is_repeatable
    pairs = ((inputs, np.arange(5)), (inputs, np.arange(5)))  # two batches
    assert len(list(Batches(pairs))) == 2
