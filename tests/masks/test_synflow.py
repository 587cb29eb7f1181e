import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.masks import Masks
from tost_tf.masks.synaptic_flow import SynapticFlow
from tost_tf.masks.synflow import falling_count


def ones(model) -> Masks:
    return tost.masks.random(model, sparsity=0.0)


@pytest.fixture
def chain():
    """Two linear layers without bias, 2 -> 3 -> 1, with weights of both signs."""
    model = keras.Sequential(
        [
            keras.layers.Dense(3, "relu", use_bias=False, name="a", input_shape=(2,)),
            keras.layers.Dense(1, use_bias=False, name="b"),
        ]
    )
    model.set_weights([np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, 0.5]]), np.array([[2.0], [-1.0], [4.0]])])
    return model


def test_scores_by_hand(chain):
    found = SynapticFlow(chain).scores(ones(chain))
    # |a| columns sum to 5, 7, 3.5; R = 5·2 + 7·1 + 3.5·4 = 31.
    np.testing.assert_allclose(found["b/kernel"], [[10], [7], [14]])
    np.testing.assert_allclose(found["a/kernel"], [[2, 2, 12], [8, 5, 2]])


def test_scores_with_a_mask_in_place(chain):
    masks = Masks({"a/kernel": [[1, 0, 1], [1, 1, 0]], "b/kernel": [[1], [0], [1]]})
    found = SynapticFlow(chain).scores(masks)
    np.testing.assert_allclose(found["b/kernel"], [[10], [0], [12]])
    np.testing.assert_allclose(found["a/kernel"], [[2, 0, 12], [8, 0, 0]])


@pytest.fixture
def plain_network():
    """Four layers one after the other, no bias."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", use_bias=False, input_shape=(6, 6, 2)),
            layers.BatchNormalization(center=False),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, use_bias=False),
            layers.ReLU(),
            layers.Conv2D(5, 2, strides=2, use_bias=False),
            layers.Flatten(),
            layers.Dense(3, use_bias=False),
        ]
    )


def test_the_sum_of_scores_is_conserved_from_layer_to_layer(plain_network):
    masks = tost.masks.random(plain_network, sparsity=0.3)
    sums = [score.sum() for score in SynapticFlow(plain_network).scores(masks).values()]
    assert len(sums) == 4 and sums[0] > 0
    np.testing.assert_allclose(sums, sums[0], rtol=1e-12)


def test_iterations_against_numpy(chain):
    weights = {"a/kernel": np.abs(chain.get_weights()[0]), "b/kernel": np.abs(chain.get_weights()[1])}
    masks = {path: np.ones_like(weight) for path, weight in weights.items()}
    for step in range(1, 4):
        a, b = (weights[path] * masks[path] for path in weights)
        scores = np.concatenate([(a * b.T).ravel(), (a.sum(0)[:, None] * b).ravel()])
        scores[np.concatenate([mask.ravel() for mask in masks.values()]) == 0] = -np.inf
        keep = round(0.4 ** (step / 3) * 9)
        chosen = np.zeros(9)
        chosen[np.argsort(-scores, kind="stable")[:keep]] = 1
        masks = {"a/kernel": chosen[:6].reshape(2, 3), "b/kernel": chosen[6:].reshape(3, 1)}
    found = tost.masks.synflow(chain, sparsity=0.6, iterations=3)
    for path in masks:
        np.testing.assert_array_equal(found[path], masks[path])


def test_deep_networks_do_not_overflow():
    layers = [
        keras.layers.Dense(20, "relu", use_bias=False, kernel_initializer=keras.initializers.RandomUniform(1, 3))
        for _ in range(30)
    ]
    model = keras.Sequential([keras.Input((20,)), *layers])  # R is about 40**30, above the largest float32
    masks = tost.masks.synflow(model, sparsity=0.97, iterations=20)
    assert masks.kept == round(0.03 * 30 * 400) and not masks.collapsed_layers


def test_no_layer_collapses_before_it_must(plain_network):
    size = ones(plain_network).size
    for kept in (4, 7, 12):
        masks = tost.masks.synflow(plain_network, sparsity=1 - kept / size)
        assert masks.kept == kept and not masks.collapsed_layers
    assert tost.masks.magnitude(plain_network, sparsity=1 - 4 / size).collapsed_layers  # others do


def test_the_model_is_not_touched_and_needs_no_data(small_model):
    small_model.get_layer("bn1").moving_mean.assign([1.0, -2.0, 3.0, 0.0, 0.5])
    before = [weight.copy() for weight in small_model.get_weights()]
    first, again = (tost.masks.synflow(small_model, sparsity=0.8, iterations=5) for _ in range(2))
    for weight, old in zip(small_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert all(np.array_equal(first[path], again[path]) for path in first)


def test_the_steps_are_traced_once(chain):
    flow = SynapticFlow(chain)
    masks = ones(chain)
    for _ in range(5):
        flow.scores(masks)
    assert flow._gradients.experimental_get_tracing_count() == 1


def test_scope_and_dense_layers(small_model):
    masks = tost.masks.synflow(small_model, sparsity=0.7, scope="layer", dense_layers="^stem$", iterations=10)
    assert masks["stem/kernel"].all()
    sizes = {path: mask.size for path, mask in masks.items() if path != "stem/kernel"}
    assert {path: int(masks[path].sum()) for path in sizes} == {
        path: kept_count(size, 0.7) for path, size in sizes.items()
    }


def test_weights_pruned_before_stay_pruned(small_model):
    first = tost.masks.random(small_model, sparsity=0.5)
    masks = tost.masks.synflow(tost.sparsify(small_model, first), sparsity=0.8, iterations=10)
    assert all(np.all(masks[path] <= first[path]) for path in masks)
    assert masks.kept == round(0.2 * masks.size)


def test_density_falls_exponentially_to_exactly_its_end():
    # 8·(6/8)^(k/4): 7.44, 6.93, 6.45, and then round(0.3·20).
    assert [falling_count(8, 20, 0.7, step, 4) for step in (1, 2, 3, 4)] == [7, 7, 6, 6]
    assert [falling_count(20, 20, 0.7, step, 3) for step in (1, 2, 3)] == [13, 9, 6]  # 13.39, 8.96


@given(st.integers(1, 400), st.floats(0, 0.99), st.integers(1, 30), st.floats(0, 1))
def test_no_step_asks_for_more_than_is_left(size, sparsity, iterations, share):
    kept = kept_count(size, sparsity)
    left = kept + round(share * (size - kept))
    if left:
        counts = [falling_count(left, size, sparsity, step, iterations) for step in range(1, iterations + 1)]
        assert counts == sorted(counts, reverse=True) and counts[0] <= left and counts[-1] == kept


@pytest.fixture
def uneven():
    """Two layers of 20 weights; the first has lost 12 already, the second none."""
    model = keras.Sequential(
        [
            keras.layers.Dense(5, "relu", use_bias=False, name="a", input_shape=(4,)),
            keras.layers.Dense(4, use_bias=False, name="b"),
        ]
    )
    first = np.array([[1, 0, 1, 0, 1], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]])
    return tost.sparsify(model, Masks({"a/kernel": first, "b/kernel": np.ones((5, 4))}))


@pytest.mark.parametrize("iterations", [1, 4, 100])
def test_each_layer_falls_from_the_density_it_has(uneven, iterations):
    before = tost.masks.magnitude(uneven, sparsity=0.6, scope="layer")["a/kernel"]
    masks = tost.masks.synflow(uneven, sparsity=0.7, scope="layer", iterations=iterations)
    assert {path: int(mask.sum()) for path, mask in masks.items()} == {"a/kernel": 6, "b/kernel": 6}
    assert np.all(masks["a/kernel"] <= before)


def test_steps_by_layer_against_numpy(uneven):
    weights = {path: np.abs(weight.numpy()).astype(float) for path, weight in prunable_weights(uneven).items()}
    masks = {"a/kernel": weights["a/kernel"] != 0, "b/kernel": np.ones((5, 4), bool)}
    for counts in ({"a/kernel": 7, "b/kernel": 13}, {"a/kernel": 7, "b/kernel": 9}, {"a/kernel": 6, "b/kernel": 6}):
        a, b = (weights[path] * masks[path] for path in weights)
        scores = {"a/kernel": a * b.sum(1), "b/kernel": a.sum(0)[:, None] * b}
        for path, score in scores.items():
            order = np.argsort(np.where(masks[path], -score, np.inf).ravel(), kind="stable")
            masks[path] = np.isin(np.arange(20), order[: counts[path]]).reshape(score.shape)
    found = tost.masks.synflow(uneven, sparsity=0.7, scope="layer", iterations=3)
    for path in masks:
        np.testing.assert_array_equal(found[path], masks[path])


def test_a_layer_that_has_fewer_weights_already_is_named(uneven):
    message = "12 weights of a/kernel cannot be kept: only 8 are not yet pruned"
    for find in (tost.masks.synflow, tost.masks.magnitude, tost.masks.random):
        with pytest.raises(TostError, match=message):
            find(uneven, sparsity=0.4, scope="layer")
        assert find(uneven, sparsity=0.4).kept == 24  # of both together there are enough
    with pytest.raises(TostError, match="36 weights of .* cannot be kept: only 28 are not yet pruned"):
        tost.masks.synflow(uneven, sparsity=0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_name_the_layer_at_fault(small_model, bad):
    kernel = small_model.get_layer("logits").kernel
    values = kernel.numpy()
    values[2, 1] = bad
    kernel.assign(values)
    for sparsity in (0.5, 0.97):  # so few weights stay that there are finite scores enough
        with pytest.raises(TostError, match="the score of logits/kernel is not finite everywhere"):
            tost.masks.synflow(small_model, sparsity=sparsity)


def test_a_flow_that_overflows_is_reported():
    layers = [keras.layers.Dense(2, use_bias=False, kernel_initializer="ones", name=f"d{n}") for n in range(10)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.set_weights([1e35 * weight for weight in model.get_weights()])  # R is 2e360
    with pytest.raises(TostError, match="the score of d0/kernel is not finite everywhere in step 1 of SynFlow"):
        tost.masks.synflow(model, sparsity=0.6)


def test_bad_requests_are_refused(small_model):
    with pytest.raises(TostError, match="unknown mask scope 'layers': did you mean 'layer'"):
        tost.masks.synflow(small_model, sparsity=0.5, scope="layers")
    with pytest.raises(TostError, match="iterations is 0"):
        tost.masks.synflow(small_model, sparsity=0.5, iterations=0)
    image = keras.Input((None, None, 2))
    anysize = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(image)))
    with pytest.raises(TostError, match="takes inputs of any size"):
        tost.masks.synflow(anysize, sparsity=0.5)


def test_zoo_networks_at_98_percent(small_model):
    model = tost.models.build("resnet20", (8, 8, 3), 10)
    masks = tost.masks.synflow(model, sparsity=0.98, iterations=100)
    assert not masks.collapsed_layers
    assert masks.kept == round(0.02 * masks.size)
    assert all(weight.dtype == "float32" for weight in prunable_weights(model).values())


@pytest.mark.parametrize("end", ["softmax", "sigmoid", "tanh"])
def test_a_function_at_the_end_changes_nothing(end):
    def network(last):
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(90, "relu", input_shape=(7,)), keras.layers.Dense(60, "relu")]
        return keras.Sequential([*layers, keras.layers.Dense(3, last)])

    masks = [tost.masks.synflow(network(last), sparsity=0.9) for last in (None, end)]
    assert [mask.tolist() for mask in masks[0].values()] == [mask.tolist() for mask in masks[1].values()]


def test_caps_of_relus_do_not_hold_the_flow_up():
    def network(cap):
        keras.utils.set_random_seed(3)
        dense = [keras.layers.Dense(50, input_shape=(7,)) for _ in range(4)]
        return keras.Sequential([part for layer in dense for part in (layer, keras.layers.ReLU(cap))])

    masks = [tost.masks.synflow(network(cap), sparsity=0.8) for cap in (None, 6.0)]
    assert [mask.tolist() for mask in masks[0].values()] == [mask.tolist() for mask in masks[1].values()]
    assert all(mask.any() for mask in masks[1].values())
