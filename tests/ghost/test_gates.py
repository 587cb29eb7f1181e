import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.ghost.dirac import Dirac
from tost_tf.registry import GHOST_GATES

GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(2.0, 3.0, (16, 6, 6, 3)).astype(np.float32)
OUTPUT = GENERATOR.normal(size=X.shape).astype(np.float32)
SKIP = (X - X.mean((0, 1, 2))) / np.sqrt(X.var((0, 1, 2)) + 1e-5)  # of an identity skip


def drawn(skip, steps):
    """Whether the skip was there, step by step."""
    there = []
    for step in range(steps):
        skip.step.assign(step)
        result = skip([X, OUTPUT], training=True).numpy()
        there.append(not np.array_equal(result, OUTPUT))
        np.testing.assert_allclose(result, OUTPUT + there[-1] * SKIP, atol=1e-5)
    return there


def test_variance_preserving_by_hand():
    result = tost.GhostSkip("identity", gate="variance_preserving", alpha=0.75)([X, OUTPUT], training=True)
    np.testing.assert_allclose(result, (OUTPUT + 0.75 * SKIP) / 1.25, atol=1e-5)


def test_gradients_by_hand():
    output, skip, alpha = tf.constant([2.0, -1.0]), tf.constant([0.5, 3.0]), tf.constant(0.75)
    for name, share in (("scaled", 1.0), ("variance_preserving", 0.8)):
        with tf.GradientTape() as tape:
            tape.watch([output, skip, alpha])
            result = GHOST_GATES[name](output, skip, alpha, None, True)
            loss = tf.reduce_sum([4.0, -2.0] * result)
        np.testing.assert_allclose(result, [share * 2.375, share * 1.25], rtol=1e-6)
        of_output, of_skip, of_alpha = tape.gradient(loss, [output, skip, alpha])
        np.testing.assert_allclose(of_output, [share * 4, share * -2], rtol=1e-6)
        np.testing.assert_allclose(of_skip, [share * 3, share * -1.5], rtol=1e-6)
        # Of the root too: (4 · 2.375 - 2 · 1.25) · -0.75 / 1.25³.
        np.testing.assert_allclose(of_alpha, -4 if share == 1 else 0.8 * -4 - 7 * 0.75 * 0.512, rtol=1e-6)


def test_stochastic_skip_is_there_as_often_as_alpha_says():
    skip = tost.GhostSkip("identity", gate="stochastic", alpha=0.3, seed=4)
    there = drawn(skip, 200)
    assert 40 < sum(there) < 80
    assert drawn(skip, 20) == there[:20]  # by the step alone
    assert drawn(tost.GhostSkip("identity", gate="stochastic", alpha=0.3, seed=5), 20) != there[:20]
    skip.branch[0].momentum = 0.0
    skip([X, OUTPUT], training=True)
    np.testing.assert_allclose(skip([X, OUTPUT]), OUTPUT + 0.3 * SKIP, atol=1e-2)


@pytest.mark.parametrize("gate", GHOST_GATES)
def test_ends_of_every_gate(gate):
    skip = tost.GhostSkip("identity", gate=gate)
    assert np.abs(skip([X, OUTPUT], training=True) - OUTPUT).max() > 0.1
    skip.alpha.assign(0.0)
    for training in (True, False):
        np.testing.assert_array_equal(skip([X, OUTPUT], training=training), OUTPUT)


def test_config_round_trip():
    skip = tost.GhostSkip("identity", gate="stochastic", seed=9)
    assert tost.GhostSkip.from_config(skip.get_config()).get_config() == skip.get_config()
    assert skip.get_config()["gate"] == "stochastic"
    with pytest.raises(TostError, match="unknown gate of ghost skips 'stochastc': did you mean 'stochastic'"):
        tost.GhostSkip(gate="stochastc")


def test_only_the_papers_gate_has_no_step():
    assert tost.GhostSkip().step is None and tost.GhostSkip(gate="variance_preserving").step is not None


def test_schedule_counts_the_steps_of_gates(small_model, small_images):
    ghosted = tost.GhostModel(small_model, "none", "identity", skip_gate="stochastic", seed=3)
    skips = [layer for layer in ghosted.submodules if isinstance(layer, tost.GhostSkip)]
    assert len({skip.seed for skip in skips}) == len(skips) == 2  # drawn for each by itself
    ghosted.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    ghosted.fit(*small_images, batch_size=5, epochs=1, verbose=0, callbacks=[tost.GhostSchedule(2, 4)])
    assert {int(skip.step) for skip in skips} == {3} and {float(skip.alpha) for skip in skips} == {1 - 3 / 8}


def test_dirac_projection_is_the_identity_and_repeats_channels():
    kernel = Dirac()((1, 1, 3, 5)).numpy()
    np.testing.assert_array_equal(kernel[0, 0], [[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0]])
    assert Dirac()((3, 4, 2, 2), tf.float64).numpy()[1, 1].tolist() == [[1, 0], [0, 1]]
    result = tost.GhostSkip("projection", kernel_initializer="dirac")([X, OUTPUT], training=True)
    np.testing.assert_allclose(result, OUTPUT + SKIP, atol=1e-4)
