import numpy as np
import pytest

from tost_tf.training.losses import Distillation, cross_entropy


def test_smoothed_cross_entropy_by_hand():
    logits = np.array([[2.0, -1.0, 0.5, 0.0], [0.3, 0.1, 0.0, 3.0]])
    labels = np.array([0, 2])
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    smoothed = np.eye(4)[labels] * (1 - 0.3) + 0.3 / 4
    expected = -(smoothed * log_probabilities).sum(1).mean()
    assert float(cross_entropy(0.3)(np.eye(4)[labels], logits)) == pytest.approx(expected, rel=1e-6)
    plain = -log_probabilities[[0, 1], labels].mean()
    assert float(cross_entropy()(np.eye(4)[labels], logits)) == pytest.approx(plain, rel=1e-6)


LOGITS = np.array([[2.0, -1.0, 0.5, 0.0], [0.3, 0.1, 0.0, 3.0]], np.float32)
TEACHER = np.array([[1.0, 0.2, -2.0, 0.1], [-0.5, 4.0, 0.0, 1.0]], np.float32)
LABELS = np.eye(4, dtype=np.float32)[[0, 2]]


def test_distillation_by_hand():
    def log_softmax(values):
        return values - np.log(np.exp(values).sum(1, keepdims=True))

    logits, teacher = LOGITS.astype(np.float64), TEACHER.astype(np.float64)
    hard = -((LABELS * 0.8 + 0.2 / 4) * log_softmax(logits)).sum(1)
    soft = np.exp(log_softmax(teacher / 3)) * (log_softmax(teacher / 3) - log_softmax(logits / 3))
    expected = (0.7 * hard + 0.3 * 9 * soft.sum(1)).mean()
    loss = Distillation(weight=0.3, temperature=3.0, label_smoothing=0.2)
    assert float(loss(np.concatenate([LABELS, TEACHER], 1), LOGITS)) == pytest.approx(expected, rel=1e-6)


def test_distillation_of_weight_0_is_the_plain_loss_to_the_last_bit():
    loss = Distillation(weight=0.0, temperature=4.0, label_smoothing=0.1)
    pairs = np.concatenate([LABELS, TEACHER], 1)
    assert loss(pairs, LOGITS).numpy() == cross_entropy(0.1)(LABELS, LOGITS).numpy()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
def test_distillation_from_a_teacher_equal_to_the_student_is_0(temperature):
    assert float(Distillation(1.0, temperature)(np.concatenate([LABELS, LOGITS], 1), LOGITS)) == 0.0
    assert float(Distillation(1.0, temperature)(np.concatenate([LABELS, TEACHER], 1), LOGITS)) > 0.01


def test_distillation_survives_its_config():
    loss = Distillation(0.3, 5.0, 0.2, name="kd")
    assert Distillation.from_config(loss.get_config()).get_config() == loss.get_config()
    assert loss.get_config()["temperature"] == 5.0
