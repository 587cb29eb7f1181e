import pytest

from tost_tf.compat import keras, tf
from tost_tf.graph.replaced_calls import calls_replaced


def test_calls_are_replaced_until_the_block_ends_also_by_an_error():
    plain, replaced_before = keras.layers.Dense(2), keras.layers.Dense(2)
    own = replaced_before.call
    object.__setattr__(replaced_before, "call", own)
    seen = []

    def replace(layer, call):
        return lambda x: seen.append(layer) or 2 * call(x)

    x = tf.constant([[1.0, 3.0]])
    expected = [layer(x).numpy().tolist() for layer in (plain, replaced_before)]
    with pytest.raises(ZeroDivisionError), calls_replaced([plain, replaced_before], replace):
        for layer, value in zip((plain, replaced_before), expected, strict=True):
            assert (layer(x) / 2).numpy().tolist() == value
        raise ZeroDivisionError
    assert seen == [plain, replaced_before]
    assert "call" not in vars(plain) and vars(replaced_before)["call"] is own
    assert [layer(x).numpy().tolist() for layer in (plain, replaced_before)] == expected
