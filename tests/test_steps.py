from tost_tf.steps import Step, StepCallback


def test_steps_are_counted_over_all_epochs():
    step = Step(epoch=3, batch=2, steps_per_epoch=7)
    assert (step.number, step.done) == (23, 24)


def test_callback_knows_its_step():
    callback = StepCallback(7)
    assert callback.step(4).number == 4
    callback.on_epoch_begin(2)
    assert callback.step(4) == Step(2, 4, 7)
