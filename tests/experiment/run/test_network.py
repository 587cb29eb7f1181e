"""That every option reaches the part it is for."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.network import add_ghosts, add_ghosts_and_compile, build_model
from tost_tf.registry import OPTIMIZERS
from tost_tf.training.optimizer_methods import OptimizerMethod


def make(**options):
    return RunConfig.make(**({"dataset": "digits", "epochs": 4} | options))


def test_optimizer_and_loss_are_those_of_the_options(small_model):
    config = make(momentum=0.7, weight_decay=0.03, learning_rate=0.2, label_smoothing=0.25)
    model = add_ghosts_and_compile(config, small_model, tost.masks.random(small_model, sparsity=0.5))
    optimizer = model.optimizer
    assert (optimizer.momentum, optimizer.coupled_weight_decay) == (0.7, 0.03)
    assert float(optimizer.learning_rate) == pytest.approx(0.2)
    assert model.loss.get_config()["label_smoothing"] == 0.25
    assert len(optimizer.momentums) == len(model.trainable_weights)


def test_optimizers_by_name(small_model):
    def optimizer(**options):
        masks = tost.masks.random(small_model, sparsity=0.5)
        return add_ghosts_and_compile(make(recipe="default", **options), small_model, masks).optimizer

    orthogonal = optimizer(optimizer="orthogonal", momentum=0.7, weight_decay=0.03)
    assert type(orthogonal) is tost.OrthogonalSGD and float(orthogonal.learning_rate) == pytest.approx(0.025)
    assert (orthogonal.momentum, orthogonal.coupled_weight_decay) == (0.7, 0.03)
    assert type(optimizer(optimizer="lars")) is tost.LARS
    adamw = optimizer(optimizer="adamw", weight_decay=0.03)
    assert adamw.weight_decay == 0.03 and float(adamw.learning_rate) == pytest.approx(1e-3)
    method = OptimizerMethod(lambda *given: keras.optimizers.SGD(*given[:2]), learning_rate=0.7)
    with OPTIMIZERS.temporarily("mine", method):
        assert optimizer(optimizer="mine").momentum == 0.9
        with pytest.raises(
            TostError, match="--optimizer_tweak=ham needs a MaskedOptimizer, --optimizer=mine is not one"
        ):
            optimizer(optimizer="mine", optimizer_tweak="ham")
    assert type(optimizer(optimizer_tweak="sparse_opt").tweak).__name__ == "SparseOpt"
    assert optimizer().tweak is None


def test_loss_of_a_student_is_that_of_the_options(small_model):
    teaching = {"distill_weight": 0.3, "distill_temperature": 7.0, "label_smoothing": 0.2}
    loss = add_ghosts_and_compile(make(teacher="runs/teacher", **teaching), small_model, None, lambda x: x).loss
    assert loss.name == "distillation"
    told = loss.get_config()
    assert (told["weight"], told["temperature"], told["label_smoothing"]) == (0.3, 7.0, 0.2)


def test_ghosts_are_those_of_the_options(small_model):
    config = make(ghost_neurons="mish", ghost_skips="projection", ghost_skip_initializer="he_normal", beta_start=1.5)
    model = add_ghosts(config, small_model, None)
    skips = [layer for layer in model.submodules if isinstance(layer, tost.GhostSkip)]
    neurons = [layer for layer in model.submodules if isinstance(layer, tost.GhostActivation)]
    assert {(skip.kind, skip.kernel_initializer) for skip in skips} == {("projection", "he_normal")}
    assert {(neuron.kind, float(neuron.beta)) for neuron in neurons} == {("mish", 1.5)}
    assert add_ghosts(make(recipe="default"), small_model, None).ghosts == []


def test_ghosts_start_the_same_whatever_was_drawn_before(small_model):
    config = make(ghost_skip_initializer="he_normal")
    first = add_ghosts(config, small_model, None).get_weights()
    np.random.default_rng().random()
    keras.layers.Dense(3).build((None, 4))
    for one, other in zip(first, add_ghosts(config, small_model, None).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_dense_model_is_copied(small_model):
    model = add_ghosts(make(mask="none"), small_model, None)
    assert not {id(weight) for weight in model.plain.weights} & {id(weight) for weight in small_model.weights}
    for one, other in zip(model.plain.get_weights(), small_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_model_no_ghost_fits_is_refused():
    model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(TostError, match="so no ghost fits it: use --recipe=default"):
        add_ghosts(make(), model, None)


def test_weights_follow_the_seed_or_the_file(small_data, tmp_path):
    from tost_tf.graph.weights import save_weights

    options = {"model": "resnet8", "width_multiplier": 0.25}
    first, again, other = (build_model(make(seed=seed, **options), small_data).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert any(np.any(one != two) for one, two in zip(first, other, strict=True))
    save_weights(build_model(make(seed=1, **options), small_data), tmp_path / "weights.npz")
    loaded = build_model(make(seed=2, initial_weights=str(tmp_path / "weights.npz"), **options), small_data)
    assert all(np.array_equal(one, two) for one, two in zip(first, loaded.get_weights(), strict=True))
