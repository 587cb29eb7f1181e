"""Tables over runs, with numbers computed by hand."""

import math

import pandas as pd
import pytest

from tost_tf.errors import TostError
from tost_tf.report.table_text import caption, grid, quantity, to_csv, to_latex, to_markdown
from tost_tf.report.tables import cells, column_of

KEYS = ("mask", "recipe", "sparsity")
DEFAULT = {"recipe": "default"}


def runs(*rows: tuple) -> pd.DataFrame:
    names = [*KEYS, "seed", column_of("test_accuracy")]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(run=[f"run{number}" for number in range(len(rows))])


# Differences of tost to default by seed: 0.03, 0.01, 0.08.
THREE = runs(
    ("snip", "tost", 0.9, 2, 0.58),
    ("snip", "default", 0.9, 0, 0.40),
    ("snip", "default", 0.9, 1, 0.46),
    ("snip", "default", 0.9, 2, 0.50),
    ("snip", "tost", 0.9, 0, 0.43),
    ("snip", "tost", 0.9, 1, 0.47),
)


def cell(table: pd.DataFrame, **named: object) -> dict:
    own = table[[all(row[name] == value for name, value in named.items()) for _, row in table.iterrows()]]
    assert len(own) == 1
    return dict(own.iloc[0])


def test_mean_deviation_and_paired_gain():
    table = cells(THREE, KEYS, ["test_accuracy"], DEFAULT)
    assert list(table["recipe"]) == ["default", "tost"]  # the baseline first
    default, tost = (cell(table, recipe=recipe) for recipe in ("default", "tost"))
    assert default["mean"] == pytest.approx(1.36 / 3) and default["seeds"] == 3
    # Deviations from 0.45333: -0.05333, 0.00667, 0.04667; squares sum to 0.0050667; half of it under the root.
    assert default["std"] == pytest.approx(math.sqrt(0.0050666667 / 2))
    assert math.isnan(default["difference"]) and not default["significant"]
    # Of 0.03, 0.01, 0.08 the mean is 0.04, the squares around it sum to 0.0026.
    assert tost["difference"] == pytest.approx(0.04)
    assert tost["standard_error"] == pytest.approx(math.sqrt(0.0026 / 2 / 3))
    # t is 1.9215, and for two degrees of freedom p is 1 - t / √(2 + t²).
    assert tost["p_value"] == pytest.approx(1 - 1.92154 / math.sqrt(2 + 1.92154**2), rel=1e-4)
    assert not tost["significant"]
    assert tost["values"] == (0.43, 0.47, 0.58)  # by seed


@pytest.mark.parametrize(("shift", "significant"), [(0.01, False), (0.06, True), (-0.09, False), (-0.14, True)])
def test_a_significant_gain_or_loss_is_marked(shift, significant):
    """With three pairs the mean must be 4.303 standard errors from zero: 0.0896; two errors are not enough."""
    other = THREE.copy()
    other.loc[other["recipe"] == "tost", column_of("test_accuracy")] += shift
    tost = cell(cells(other, KEYS, ["test_accuracy"], DEFAULT), recipe="tost")
    assert tost["significant"] == significant and (tost["p_value"] < 0.05) == significant


def test_pairs_that_do_not_differ_have_no_p_value(recwarn):
    same = THREE.copy()
    by_seed = same.set_index(["recipe", "seed"])[column_of("test_accuracy")]
    same[column_of("test_accuracy")] = [by_seed["default", seed] for seed in same["seed"]]
    tost = cell(cells(same, KEYS, ["test_accuracy"], DEFAULT), recipe="tost")
    assert (tost["difference"], tost["standard_error"]) == (0, 0)
    assert math.isnan(tost["p_value"]) and not tost["significant"] and not recwarn.list


def test_only_pairs_count_in_the_gain():
    table = cells(THREE.drop(index=2), KEYS, ["test_accuracy"], DEFAULT)  # seed 1 of the default is missing
    tost = cell(table, recipe="tost")
    assert tost["seeds"] == 3 and cell(table, recipe="default")["seeds"] == 2
    assert tost["difference"] == pytest.approx((0.03 + 0.08) / 2)
    assert "(n = 3)" in str(grid(table, ("mask", "recipe"), ("sparsity",)))


def test_gains_are_taken_from_the_cell_with_the_same_other_keys():
    other = THREE.assign(mask="erk")
    other.loc[other["recipe"] == "tost", column_of("test_accuracy")] -= 0.2
    table = cells(pd.concat([THREE, other]), KEYS, ["test_accuracy"], DEFAULT)
    assert cell(table, recipe="tost", mask="snip")["difference"] == pytest.approx(0.04)
    assert cell(table, recipe="tost", mask="erk")["difference"] == pytest.approx(-0.16)


def test_missing_cells_are_shown_as_missing():
    unfinished = runs(("erk", "tost", 0.98, 0, math.nan))
    table = cells(pd.concat([THREE, unfinished]), KEYS, ["test_accuracy"], DEFAULT)
    texts = grid(table, ("mask", "recipe"), ("sparsity",)).set_index(["mask", "recipe"])
    assert texts.loc[("erk", "tost"), "sparsity=0.98"] == "–"  # not finished
    assert texts.loc[("erk", "tost"), "sparsity=0.9"] == "–"  # not there at all
    assert texts.loc[("snip", "tost"), "sparsity=0.9"] == "49.33 ± 7.77; +4.00 ± 2.08"
    assert caption(table, DEFAULT).endswith("–: no finished run.")


def test_one_seed_has_no_deviation():
    table = cells(THREE[THREE["seed"] == 1], KEYS, ["test_accuracy"], DEFAULT)
    tost = cell(table, recipe="tost")
    assert math.isnan(tost["std"]) and math.isnan(tost["standard_error"]) and not tost["significant"]
    assert grid(table, ("recipe",), ("sparsity",)).iloc[1, 1] == "47.00; +1.00"
    assert "over 1 seed;" in caption(table, DEFAULT)


def test_two_runs_in_one_place_are_refused():
    with pytest.raises(TostError, match=r"'run0' and 'run1' would be in the same cell .*recipe=tost.*seed=2"):
        cells(runs(("snip", "tost", 0.9, 2, 0.58), ("snip", "tost", 0.9, 2, 0.6)), KEYS, ["test_accuracy"])


def test_numbers_are_ordered_by_size_and_names_as_they_came():
    rows = [(mask, "default", sparsity, 0, 0.5) for sparsity in (0.98, 0.9, 0.95) for mask in ("snip", "erk")]
    table = cells(runs(*rows), KEYS, ["test_accuracy"])
    assert list(table["mask"]) == ["snip"] * 3 + ["erk"] * 3
    assert list(table["sparsity"]) == [0.9, 0.95, 0.98] * 2


def test_gains_say_over_how_many_pairs_they_are():
    rows = [("default", 0, 0.60), ("default", 1, 0.61), ("tost", 0, 0.62), ("tost", 1, 0.63), ("tost", 4, 0.9)]
    runs = pd.DataFrame(rows, columns=["recipe", "seed", column_of("test_accuracy")]).assign(run="a")
    table = cells(runs, ["recipe"], ["test_accuracy"], DEFAULT)
    assert list(table["pairs"]) == [0, 2] and not table["significant"].any()  # two pairs are too few for a mark
    frame = grid(table, ("recipe",), ())
    assert frame.iloc[1, 1] == "71.67 ± 15.89 (n = 3); +2.00 ± 0.00 (2 pairs)"


def test_formats():
    table = cells(THREE.assign(mask="a_b & 5%"), KEYS, ["test_accuracy"], DEFAULT)
    frame, note = grid(table, ("mask", "recipe"), ("sparsity",)), caption(table, DEFAULT)
    markdown = to_markdown(frame, note).splitlines()
    assert [word.strip() for word in markdown[3].split("|")[1:-1]] == ["a_b & 5%", "tost", "49.33 ± 7.77; +4.00 ± 2.08"]
    latex = to_latex(frame, note)
    assert r"a\_b \& 5\% & tost & 49.33 $\pm$ 7.77; +4.00 $\pm$ 2.08 \\" in latex
    assert all(rule in latex for rule in (r"\toprule", r"\midrule", r"\bottomrule")) and r"\hline" not in latex
    assert to_csv(table, KEYS).splitlines()[2] == (
        "test_accuracy,a_b & 5%,tost,0.9,49.33,7.77,3,+4.00,2.08,3,0.195,,43.00 47.00 58.00"
    )


def test_quantities():
    assert quantity("test_accuracy_last").text(0.1234567) == "12.35"
    assert quantity("tickets.0.test_accuracy").unit == "%"
    assert quantity("train_seconds").text(61.26) == "61.3"
    assert quantity("nonzero_parameters").text(1234567.0) == "1,234,567"
    assert quantity("nonzero_parameters").plain(1234567.0) == "1234567"
    assert quantity("sparsity").text(0.97996) == "0.9800"


def test_values_can_be_rows():
    table = cells(THREE.assign(**{column_of("sparsity"): 0.9}), ("recipe",), ["test_accuracy", "sparsity"])
    frame = grid(table, ("value",), ("recipe",))
    assert list(frame["value"]) == ["test_accuracy", "sparsity"]
    assert list(frame["recipe=default"]) == ["45.33 ± 5.03", "0.9000 ± 0.0000"]
