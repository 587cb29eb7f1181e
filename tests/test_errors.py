"""Messages that people read."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.errors import MOST_CHARACTERS, NoEffect, TostError, first_of


def test_of_a_long_message_the_beginning_and_the_end_are_left():
    error = TostError(f"the first words {'x' * 10**6} and what would be right")
    assert len(str(error)) == MOST_CHARACTERS == 500
    assert str(error).startswith("the first words xxx") and str(error).endswith("xxx and what would be right")
    assert " [...] " in str(error)
    short = "y" * 500
    assert str(TostError(short)) == short and str(NoEffect("no effect", "seed")) == "no effect"


def test_a_wrong_file_of_masks_is_one_line_a_person_can_read(tmp_path):
    np.savez(tmp_path / "wrong.npz", **{f"layer{number}/kernel": np.full(2, 7) for number in range(3000)})
    with pytest.raises(TostError, match="layer0/kernel holds") as refused:
        tost.Masks.load(tmp_path / "wrong.npz")
    assert len(str(refused.value)) <= 500


def test_many_names_are_the_first_and_how_many_more():
    assert first_of(["stem", "conv1", "conv2"]) == "stem, conv1, conv2"
    assert first_of(["stem", "conv1", "conv2"], most=2) == "stem, conv1 and 1 more"
    assert first_of(["stem", "conv1", "conv2"], most=1, separator="; ") == "stem; and 2 more"
    assert len(first_of([f"layer{number}" for number in range(13)]).split(", ")) == 10
