import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.lottery import LotteryPlan, LotterySearch
from tost_tf.masks.sparsify import masked_kernels


def kernels(model):
    return {path: weight.numpy() for path, weight in prunable_weights(model).items()}


class Trainer:
    """Adds the number of epochs times its own pattern to the kernels, so that every round is known beforehand."""

    def __init__(self, model, killed_in: int | None = None):
        generator = np.random.default_rng(4)
        self.pattern = {path: generator.normal(size=kernel.shape) for path, kernel in kernels(model).items()}
        self.calls, self.starts, self.killed_in = [], [], killed_in

    def __call__(self, sparse, first, last):
        self.calls.append((first, last))
        self.starts.append(kernels(sparse))
        if len(self.calls) == self.killed_in:
            raise KeyboardInterrupt
        for path, masked in masked_kernels(sparse).items():
            masked.kernel.assign((masked.kernel + (last - first) * self.pattern[path]) * masked.mask)
        return 0.5


def test_number_of_rounds():
    assert LotteryPlan(0.2, 3).rounds == 1
    assert LotteryPlan(1 - 0.8**5, 3).rounds == 5
    assert LotteryPlan(0.98, 3).rounds == 18  # 0.8**17 = 0.0225
    assert LotteryPlan(0.0, 3).rounds == 0
    plan = LotteryPlan(0.5, 3)
    assert [plan.sparsity_after(number) for number in range(5)] == pytest.approx([0, 0.2, 0.36, 0.488, 0.5])


def test_rounds_by_hand(small_model):
    initial = kernels(small_model)
    trainer = Trainer(small_model)
    masks = LotterySearch(LotteryPlan(0.4, epochs=3), trainer).find(small_model)
    assert trainer.calls == [(0, 3)] * 3
    # In NumPy: prune the trained weights to 0.2, 0.36 and 0.4, each round from the initialisation.
    present = {path: np.ones_like(weight) for path, weight in initial.items()}
    total = sum(weight.size for weight in initial.values())
    for sparsity in (0.2, 0.36, 0.4):
        trained = {path: (initial[path] + 3 * trainer.pattern[path]) * present[path] for path in initial}
        flat = np.concatenate([np.abs(weight).ravel() for weight in trained.values()])
        threshold = np.sort(flat)[::-1][round((1 - sparsity) * total) - 1]
        present = {path: (np.abs(weight) >= threshold).astype(float) for path, weight in trained.items()}
    for path in masks:
        np.testing.assert_array_equal(masks[path], present[path])
        np.testing.assert_array_equal(kernels(small_model)[path], initial[path] * present[path])  # rewound


def test_each_round_starts_from_the_weights_of_the_rewind_epoch(small_model):
    initial = kernels(small_model)
    trainer = Trainer(small_model)
    masks = LotterySearch(LotteryPlan(0.36, epochs=7, rewind_epoch=2), trainer).find(small_model)
    assert trainer.calls == [(0, 2), (2, 7), (2, 7)]
    for path, weight in kernels(small_model).items():
        rewound = (initial[path] + 2 * trainer.pattern[path]) * masks[path]
        np.testing.assert_allclose(weight, rewound, rtol=1e-5, atol=1e-6)


def test_learning_rate_rewinding_keeps_the_trained_weights(small_model):
    initial = kernels(small_model)
    trainer = Trainer(small_model)
    masks = LotterySearch(LotteryPlan(0.36, epochs=3, mode="lr_rewind"), trainer).find(small_model)
    assert trainer.calls == [(0, 3), (0, 3)]
    for path, weight in kernels(small_model).items():
        trained = (initial[path] + 6 * trainer.pattern[path]) * masks[path]
        np.testing.assert_allclose(weight, trained, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", [exhaustive("rewind"), "lr_rewind"])
def test_killed_search_resumes_with_the_round_it_was_in(small_model, tmp_path, mode, capsys):
    plan = LotteryPlan(0.55, epochs=3, rewind_epoch=1, mode=mode)
    start = small_model.get_weights()
    expected = LotterySearch(plan, Trainer(small_model)).find(small_model)
    expected_weights = small_model.get_weights()
    small_model.set_weights(start)
    with pytest.raises(KeyboardInterrupt):
        LotterySearch(plan, Trainer(small_model, killed_in=4), tmp_path).find(small_model)
    small_model.set_weights(start)
    trainer = Trainer(small_model)
    found = LotterySearch(plan, trainer, tmp_path).find(small_model)
    assert len(trainer.calls) == 2 and "resuming after round 2 of 4" in capsys.readouterr().out
    assert all(np.array_equal(found[path], expected[path]) for path in expected)
    for weight, other in zip(small_model.get_weights(), expected_weights, strict=True):
        np.testing.assert_array_equal(weight, other)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *(f"mask-{n}.npz" for n in range(1, 5)),
        "plan.json",
        "weights-4.npz",
    ]


def test_layers_left_dense_stay_dense(small_model):
    plan = LotteryPlan(0.5, epochs=3, dense_layers="^(stem|logits)$")
    masks = LotterySearch(plan, Trainer(small_model)).find(small_model)
    assert masks["stem/kernel"].all() and masks["logits/kernel"].all() and masks.kept == 74 + round(0.5 * 195)


def test_from_python_with_real_training(small_model, small_images, capsys):
    dataset = tf.data.Dataset.from_tensor_slices(small_images).batch(10)
    initial = kernels(small_model)
    masks = tost.masks.lottery(small_model, dataset, sparsity=0.36, epochs=2)
    assert masks.kept == round(0.64 * 269)
    for path, weight in kernels(small_model).items():
        np.testing.assert_array_equal(weight, initial[path] * masks[path])
    assert "round 2 of 2: accuracy" in capsys.readouterr().out


def test_bad_plans_are_refused():
    for options, message in (
        ({"sparsity": 1.0}, "sparsity is 1"),
        ({"fraction": 0.0}, "fraction is 0"),
        ({"rewind_epoch": 3}, "rewind_epoch is 3, it must be below epochs=3"),
        ({"epochs": 0}, "epochs is 0, it must be at least 1"),
        ({"mode": "rewinding"}, "unknown lottery mode 'rewinding': did you mean 'rewind'"),
    ):
        with pytest.raises(TostError, match=message):
            LotteryPlan(**({"sparsity": 0.5, "epochs": 3} | options))


def test_weights_of_another_model_are_refused(small_model, tmp_path):
    from tost_tf.graph.weights import load_weights, save_weights

    save_weights(small_model, tmp_path / "weights.npz")
    other = keras.Sequential([keras.layers.Dense(2, input_shape=(3,), name="d")])
    with pytest.raises(
        TostError, match=r"are not those of sequential.*: \d+ of them differ in name or shape, the first is"
    ):
        load_weights(other, tmp_path / "weights.npz")
    with pytest.raises(TostError, match="there is no weights file"):
        load_weights(other, tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_text("no")
    with pytest.raises(TostError, match="cannot be read as a weights file"):
        load_weights(other, tmp_path / "bad.npz")


def test_a_sparsity_that_leaves_a_layer_nothing_is_refused_before_a_round(small_model):
    def train(*arguments):
        pytest.fail("a round was trained")

    with pytest.raises(TostError, match=r"only 1 of 269 weights stay, fewer than there are layers \(5\)"):
        LotterySearch(LotteryPlan(0.995, epochs=1), train).find(small_model)


def test_a_folder_of_another_search_is_refused(small_model, tmp_path):
    LotterySearch(LotteryPlan(0.2, epochs=3), Trainer(small_model), tmp_path).find(small_model)
    with pytest.raises(
        TostError, match=r"rounds of a search with other settings \(sparsity, fraction\): choose another"
    ):
        LotterySearch(LotteryPlan(0.5, epochs=3, fraction=0.3), Trainer(small_model), tmp_path).find(small_model)


def test_data_and_metrics_that_rounds_cannot_use(small_model, small_images):
    with pytest.raises(TostError, match="which an iterator gives once: give a Dataset or arrays"):
        tost.masks.lottery(small_model, iter([small_images]), sparsity=0.5, epochs=1)

    def compile(model):
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))

    with pytest.raises(TostError, match="compile has to give a metric called 'accuracy'; there are loss"):
        tost.masks.lottery(small_model, small_images, sparsity=0.5, epochs=1, compile=compile)
