import math

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.errors import TostError


class Recorder(keras.callbacks.Callback):
    """α and β of every ghost, and the view, as each step sees them."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        alphas = {float(layer.alpha) for layer in self.model.submodules if isinstance(layer, tost.GhostSkip)}
        betas = {float(layer.beta) for layer in self.model.submodules if isinstance(layer, tost.GhostActivation)}
        self.seen.append((*alphas, *betas, self.model.ghosts_active))


@pytest.fixture
def ghosted(small_model):
    model = tost.GhostModel(tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.5)), skips="identity")
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    return model


def test_every_step_has_its_values_and_the_view_changes_in_the_middle_of_fit(ghosted, small_images):
    recorder = Recorder()
    schedule = tost.GhostSchedule(end_epoch=2, steps_per_epoch=2, beta_start=1.0, beta_end=9.0)
    history = ghosted.fit(*small_images, batch_size=10, epochs=3, verbose=0, callbacks=[schedule, recorder])
    expected = [(1.0, 1.0, True), (0.75, 3.0, True), (0.5, 5.0, True), (0.25, 7.0, True)] + [(0.0, 9.0, False)] * 2
    assert recorder.seen == expected
    assert history.history["alpha"] == [0.75, 0.25, 0.0]
    assert history.history["beta"] == [3.0, 7.0, math.inf]


def test_fit_resumes_where_it_was(ghosted, small_images):
    recorder = Recorder()
    schedule = tost.GhostSchedule(end_epoch=4, steps_per_epoch=2, beta_end=9.0)
    ghosted.fit(*small_images, batch_size=10, epochs=4, initial_epoch=3, verbose=0, callbacks=[schedule, recorder])
    assert recorder.seen == [(0.25, 7.0, True), (0.125, 8.0, True)]


def test_values_are_exact_at_both_ends():
    for name in ("linear", "cosine", "exponential", "constant"):
        schedule = tost.GhostSchedule(3, 7, name, beta_start=0.3, beta_end=17.0)
        assert schedule.values(0) == (1.0, 0.3)
        assert schedule.values(21) == (0.0, 17.0)
        assert schedule.values(1000) == (0.0, 17.0)


def test_constant_means_abrupt_removal_and_minus_one_none():
    abrupt = tost.GhostSchedule(3, 7, "constant", beta_start=0.3, beta_end=17.0)
    assert [abrupt.values(step) for step in (1, 20, 21)] == [(1.0, pytest.approx(0.3))] * 2 + [(0.0, 17.0)]
    assert tost.GhostSchedule(-1, 7, "linear", beta_start=0.3).values(10**6) == (1.0, 0.3)


def test_ghosts_that_are_kept_are_never_removed(ghosted, small_images):
    history = ghosted.fit(*small_images, epochs=2, verbose=0, callbacks=[tost.GhostSchedule(-1, 1)])
    assert ghosted.ghosts_active and history.history["alpha"] == [1.0, 1.0]


def test_a_second_fit_from_the_start_has_its_ghosts_again(ghosted, small_images):
    for _ in range(2):
        recorder = Recorder()
        ghosted.fit(*small_images, epochs=2, verbose=0, callbacks=[tost.GhostSchedule(1, 1), recorder])
        assert [active for *_, active in recorder.seen] == [True, False]


def test_model_without_ghosts_is_left_alone(small_model, small_images):
    small_model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    history = small_model.fit(*small_images, verbose=0, callbacks=[tost.GhostSchedule(3, 1)])
    assert history.history["alpha"] == [0.0] and history.history["beta"] == [math.inf]


def test_same_values_on_two_replicas(small_model, small_images, two_replicas):
    with two_replicas.scope():
        model = tost.GhostModel(tost.sparsify(small_model, tost.masks.random(small_model, sparsity=0.5)))
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(*small_images, batch_size=10, epochs=1, verbose=0, callbacks=[tost.GhostSchedule(2, 2)])
    skip = next(layer for layer in model.submodules if isinstance(layer, tost.GhostSkip))
    assert [float(value) for value in skip.alpha.values] == [0.75, 0.75]
    model.fit(*small_images, batch_size=10, epochs=3, initial_epoch=2, verbose=0, callbacks=[tost.GhostSchedule(2, 2)])
    assert not model.ghosts_active and np.isfinite(model.predict(small_images[0], verbose=0)).all()


def test_config_has_all_arguments():
    schedule = tost.GhostSchedule(5, 7, "cosine", 0.3, 11.0)
    assert tost.GhostSchedule(**schedule.get_config()).get_config() == schedule.get_config()
    assert schedule.get_config()["beta_end"] == 11.0


def test_bad_arguments_are_refused():
    with pytest.raises(TostError, match="end_epoch is 0"):
        tost.GhostSchedule(0, 7)
    with pytest.raises(TostError, match="steps_per_epoch is 0"):
        tost.GhostSchedule(1, 0)
    with pytest.raises(TostError, match="unknown ghost schedule 'lineal': did you mean 'linear'"):
        tost.GhostSchedule(1, 1, "lineal")


def test_the_view_is_set_once_in_an_epoch_and_not_at_every_step(ghosted, small_images, monkeypatch):
    calls = []
    for name in ("remove_ghosts", "restore_ghosts"):
        original = getattr(ghosted, name)
        monkeypatch.setattr(ghosted, name, lambda name=name, original=original: (calls.append(name), original()))
    ghosted.fit(*small_images, batch_size=5, epochs=3, verbose=0, callbacks=[tost.GhostSchedule(end_epoch=2)])
    assert calls == ["restore_ghosts", "restore_ghosts", "remove_ghosts"] and not ghosted.ghosts_active


def test_a_wrong_number_of_steps_is_named_and_the_logs_say_what_was_set(ghosted, small_images, caplog):
    schedule = tost.GhostSchedule(end_epoch=2, steps_per_epoch=8)
    history = ghosted.fit(*small_images, batch_size=10, epochs=2, verbose=0, callbacks=[schedule])
    assert history.history["alpha"] == [1 - 1 / 16, 1 - 9 / 16]  # steps 1 and 9 of 16
    assert caplog.text.count("fade by 8 steps in an epoch (steps_per_epoch), and this epoch had 2") == 1


def test_a_model_without_ghosts_is_not_warned_about_ghosts(small_model, small_images, caplog):
    plain = tost.GhostModel(small_model, "none", "none")
    plain.compile("sgd", "categorical_crossentropy")
    plain.fit(*small_images, batch_size=10, epochs=2, verbose=0, callbacks=[tost.GhostSchedule(end_epoch=1)])
    assert caplog.text == ""


def test_ghosts_that_had_ended_do_not_come_back_without_a_word(ghosted, small_images, caplog):
    fit = {"batch_size": 10, "verbose": 0, "callbacks": [tost.GhostSchedule(end_epoch=1)]}
    ghosted.fit(*small_images, epochs=2, **fit)
    ghosted.fit(*small_images, initial_epoch=2, epochs=3, **fit)
    assert "had ended" not in caplog.text
    ghosted.fit(*small_images, epochs=1, **fit)
    assert (
        "had ended, and start anew with this call of fit: to go on after epoch N, give it initial_epoch=N"
        in caplog.text
    )
