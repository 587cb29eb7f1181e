import numpy as np
import pytest

from tost_tf.compat import keras
from tost_tf.experiment.run import callbacks
from tost_tf.experiment.run.callbacks import NonFiniteLoss, StopOnNonFiniteLoss, measured_sparsity
from tost_tf.experiment.run.folder import RunDirectory


def test_stops_at_the_step_at_which_the_loss_is_not_finite():
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    inputs = np.ones((12, 2), np.float32)
    inputs[9] = np.nan
    with pytest.raises(NonFiniteLoss) as error:
        model.fit(inputs, np.zeros(12), batch_size=3, shuffle=False, verbose=0, callbacks=[StopOnNonFiniteLoss()])
    assert (error.value.epoch, error.value.step) == (1, 4)


def test_measured_sparsity_counts_zeros_of_kernels():
    model = keras.Sequential([keras.layers.Dense(2, input_shape=(5,)), keras.layers.ReLU(), keras.layers.Dense(3)])
    weights = model.get_weights()
    weights[0][:3] = 0
    model.set_weights(weights)  # 6 of 10 + 6 are zero, biases do not count
    assert measured_sparsity(model) == pytest.approx(6 / 16)
    assert measured_sparsity(keras.Sequential([keras.layers.ReLU(input_shape=(5,))])) == 0


def test_weights_that_became_no_numbers_in_the_last_step_are_found_by_validation():
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
    model.compile(keras.optimizers.SGD(1e38), "mse")
    inputs = np.ones((12, 2), np.float32)
    seen = []
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    with pytest.raises(NonFiniteLoss, match="in epoch 1, step 1"):
        model.fit(
            inputs,
            np.ones(12),
            batch_size=12,
            verbose=0,
            validation_data=(inputs, np.ones(12)),
            callbacks=[StopOnNonFiniteLoss(), after],
        )
    assert seen == []


def test_a_variance_that_became_infinite_is_found_though_no_loss_shows_it():
    model = keras.Sequential([keras.layers.BatchNormalization(input_shape=(1,), momentum=0.5, name="norm")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    inputs = np.array([[-3e19], [3e19]], np.float32)  # whose variance float32 does not hold
    seen = []
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    callbacks = [StopOnNonFiniteLoss(), after]
    with pytest.raises(NonFiniteLoss, match="norm/moving_variance is (inf|nan) in epoch 1, step 1"):
        model.fit(inputs, np.zeros(2), verbose=0, validation_data=(inputs, np.zeros(2)), callbacks=callbacks)
    assert seen == []


def test_the_first_estimate_leaves_out_what_the_first_step_took_to_trace(tmp_path, small_model, monkeypatch, capsys):
    clock = iter([10.0, 60.0, 62.0, 64.0, 65.0])  # begin; the ends of three steps; the end, after validation
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    small_model.compile("sgd")
    table = callbacks.EpochTable(RunDirectory(tmp_path), small_model, epochs=11)
    table.set_model(small_model)
    table.on_epoch_begin(0)
    for batch in range(3):
        table.on_train_batch_end(batch)
    table.on_epoch_end(0, dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "alpha", "beta"), 0.5))
    assert "1 of 11 epochs, about 70 s left" in capsys.readouterr().out  # 3 steps of 2 s, and 1 s of validation
    assert RunDirectory(tmp_path).read_metrics()[0]["seconds"] == 55
