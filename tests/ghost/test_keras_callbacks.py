"""Keras's own callbacks across the end of the ghosts, which comes after the second of four epochs."""

import csv

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tests.ghost.test_keras_files import IMAGES, LABELS, LOSS, make
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError

C = keras.callbacks


def fit(ghosted, *callbacks, epochs=4, **options):
    schedule = tost.GhostSchedule(end_epoch=2, steps_per_epoch=2)
    return ghosted.fit(
        *(IMAGES, LABELS),
        batch_size=4,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        validation_data=(IMAGES, LABELS),
        callbacks=[schedule, *callbacks],
        **options,
    )


@pytest.fixture
def ghosted():
    model = make()
    model.compile(keras.optimizers.Adam(0.01), LOSS, ["accuracy"])
    return model


class Evaluated(C.Callback):
    """What the network gives after each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.outputs = [*getattr(self, "outputs", []), self.model.view(IMAGES).numpy()]


def test_model_checkpoint_of_weights_and_of_whole_models(ghosted, tmp_path):
    seen = Evaluated()
    fit(
        ghosted,
        C.ModelCheckpoint(str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True),
        C.ModelCheckpoint(str(tmp_path / "{epoch}.keras")),
        C.ModelCheckpoint(str(tmp_path / "best.keras"), save_best_only=True),
        seen,
    )
    for epoch in (2, 4):
        new = make()
        new.load_weights(tmp_path / f"{epoch}.weights.h5")
        whole = keras.models.load_model(tmp_path / f"{epoch}.keras")
        assert new.ghosts_active == whole.ghosts_active == (epoch == 2)
        for model in (new, whole):
            np.testing.assert_allclose(model.view(IMAGES), seen.outputs[epoch - 1], atol=1e-6)
    assert (tmp_path / "best.keras").exists()


@pytest.mark.parametrize("best", [1, exhaustive(3)])
def test_early_stopping_restores_the_best_epoch_with_its_view(ghosted, best):
    seen = Evaluated()

    class Told(C.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["told"] = abs(epoch + 1 - best)

    fit(ghosted, seen, Told(), C.EarlyStopping("told", patience=9, mode="min", restore_best_weights=True))
    np.testing.assert_allclose(ghosted.view(IMAGES), seen.outputs[best - 1], atol=1e-6)
    assert ghosted.ghosts_active == (best == 1)
    if best == 1:
        with pytest.raises(TostError, match="ghosts"):
            tost.strip(ghosted)
    else:
        np.testing.assert_allclose(tost.strip(ghosted)(IMAGES), seen.outputs[2], atol=1e-5)


@pytest.mark.parametrize("epoch", [exhaustive(1), 3])
def test_backup_and_restore_resumes_on_either_side_of_the_end(ghosted, tmp_path, epoch):
    class Interrupt(C.Callback):
        def __init__(self, epoch):
            super().__init__()
            self.epoch = epoch

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.epoch:
                raise KeyboardInterrupt

    start = ghosted.get_weights()
    fit(ghosted)
    interrupted, resumed = make(), make()
    for model in (interrupted, resumed):
        model.set_weights(start)
        model.compile(keras.optimizers.Adam(0.01), LOSS, ["accuracy"])
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, C.BackupAndRestore(tmp_path), Interrupt(epoch))
    history = fit(resumed, C.BackupAndRestore(tmp_path))
    assert len(history.epoch) == 4 - epoch
    for one, other in zip(resumed.get_weights(), ghosted.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_callbacks_that_look_at_logs_and_rates(ghosted, tmp_path):
    history = fit(
        ghosted,
        C.LearningRateScheduler(lambda epoch, rate: 0.01 if epoch < 2 else rate),
        C.ReduceLROnPlateau("val_loss", factor=0.3, patience=1, min_delta=100.0),
        C.CSVLogger(tmp_path / "log.csv"),
        C.TensorBoard(tmp_path / "board", histogram_freq=1),
        C.TerminateOnNaN(),
    )
    assert history.history["lr"][2] == pytest.approx(0.01 * 0.3)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [float(row["alpha"]) for row in rows] == [0.75, 0.25, 0.0, 0.0]
    assert list((tmp_path / "board").rglob("events*")) and not ghosted.ghosts_active
    weights = ghosted.get_weights()
    weights[0] = np.full_like(weights[0], np.nan)
    ghosted.set_weights(weights)
    assert len(fit(ghosted, C.TerminateOnNaN()).epoch) == 1


def from_here(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "root"]  # TensorFlow logs, too


def test_the_schedule_knows_the_steps_of_fit_and_the_model_tells_that_there_is_none(caplog):
    model = make()
    model.compile("sgd", LOSS)
    schedule = tost.GhostSchedule(end_epoch=3, schedule=lambda progress: (1 - progress) ** 2)
    told = []
    see = C.LambdaCallback(on_train_batch_end=lambda *_: told.append(float(model.ghosted.get_layer("relu_ghost").beta)))
    model.fit(IMAGES, LABELS, batch_size=4, epochs=1, verbose=0, callbacks=[schedule, see])
    # 6 steps: 20 - 19 · (1 - s/6)².
    assert told == pytest.approx([1.0, 20 - 19 * (5 / 6) ** 2]) and not from_here(caplog)
    model.fit(IMAGES, LABELS, batch_size=4, verbose=0)
    assert "4 ghosts and no GhostSchedule" in from_here(caplog)[0]
    unknown = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4).filter(lambda *_: True)
    with pytest.raises(TostError, match="give steps_per_epoch"):
        model.fit(unknown, verbose=0, callbacks=[tost.GhostSchedule(end_epoch=3)])


@keras.utils.register_keras_serializable("tests")
def shifted(x, beta):
    return x * tf.sigmoid(beta * x - 0.3)


def test_ghosts_may_be_functions_and_are_told(tmp_path):
    sparse = make().plain
    ghosted = tost.GhostModel(sparse, neurons=shifted, skips="none")
    assert (
        repr(ghosted) == "<GhostModel net_with_ghosts: 2 ghosts (shifted), in use; 3 kernels masked, sparsity 0.4009>"
    )
    lines = []
    ghosted.summary(print_fn=lines.append)
    assert any("conv/kernel" in line and "% zero" in line for line in lines) and "shifted" in lines[-1]
    ghosted.save(tmp_path / "whole.keras")
    loaded = keras.models.load_model(tmp_path / "whole.keras")
    np.testing.assert_array_equal(loaded(IMAGES), ghosted(IMAGES))
    ghosted.remove_ghosts()
    assert "2 ghosts (shifted), gone;" in repr(ghosted)
    for wrong in (lambda: tost.GhostModel(sparse, neurons=3), lambda: tost.GhostSchedule(3, 2, schedule=3)):
        with pytest.raises(TostError, match="is the name of one .* or a function, got int"):
            wrong()
