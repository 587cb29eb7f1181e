"""How long files take: who is run when, the numbers of a table, and formats that cannot be measured."""

import dataclasses
import itertools
import runpy
from pathlib import Path

import numpy as np
import pytest

from tost_tf.errors import TostError
from tost_tf.export import latency, latency_table
from tost_tf.export.format import Format
from tost_tf.export.latency import Effort, Latency, measure, numbers_of_threads, summarised
from tost_tf.export.latency_table import Cost, as_dicts, gain, table, verdict

PROGRAM = runpy.run_path(str(Path(latency.__file__).with_name("latency_program.py")))
SHORT = Effort(fewest=4, most=4, seconds=0.0)


@pytest.mark.parametrize("networks", [2, 3])
def test_networks_take_turns_and_each_order_occurs(networks):
    called = []
    calls = [lambda place=place: called.append(place) for place in range(networks)]
    orders = list(itertools.permutations(range(networks)))
    rounds = 2 * len(orders)
    seconds = PROGRAM["in_turns"](calls, rounds, rounds, 0.0)
    assert seconds.shape == (rounds, networks) and (seconds >= 0).all()
    warm_up, turns = called[: 2 * networks], np.array(called[2 * networks :]).reshape(rounds, networks, 2)
    assert warm_up == list(range(networks)) * 2
    assert (turns[:, :, 0] == turns[:, :, 1]).all()  # a turn is two calls
    assert [tuple(turn) for turn in turns[:, :, 0]] == orders * 2


def test_the_second_call_of_a_turn_is_measured(monkeypatch):
    ticks = iter([10.0, 10.3])
    monkeypatch.setattr(PROGRAM["time"], "perf_counter", lambda: next(ticks))
    called = []
    assert PROGRAM["seconds_of"](lambda: called.append(0)) == pytest.approx(0.3) and len(called) == 2


def test_rounds_end_with_the_time_but_not_before_the_fewest():
    assert len(PROGRAM["in_turns"]([lambda: None], 3, 50, 0.0)) == 3
    assert len(PROGRAM["in_turns"]([lambda: None], 3, 5, 60.0)) == 5


def test_medians_quartiles_and_ratios_of_rounds():
    # Rounds of dense and small; in the third the machine was busy, and both took long.
    seconds = np.array([[0.010, 0.003], [0.012, 0.003], [0.040, 0.016], [0.011, 0.004], [0.010, 0.005]])
    dense, small = summarised(["dense", "compacted"], 2, 32, seconds)
    assert (dense.milliseconds, dense.quartiles, dense.ratio) == (11.0, (10.0, 12.0), 1.0)
    assert (small.milliseconds, small.quartiles) == (4.0, (3.0, 5.0))
    assert small.ratio == pytest.approx(4 / 11)  # of 0.3, 0.25, 0.4, 0.364 and 0.5
    assert (small.network, small.threads, small.batch, small.rounds) == ("compacted", 2, 32, 5)
    # To the dense network, wherever it stands.
    assert summarised(["compacted", "dense"], 2, 32, seconds[:, ::-1])[0].ratio == small.ratio


def opened_halves(path, images, threads):
    import os
    import time
    from pathlib import Path

    assert os.environ["TF_NUM_INTRAOP_THREADS"] == str(threads) and images.shape[1:] == (2, 2, 1)
    seconds = float(Path(path).read_text()) * len(images)
    return lambda: time.sleep(seconds)


KIND = Format("seconds.txt", "text file", False, lambda *_: False, lambda path: ({}, []), opened=opened_halves)


def files(folder: Path, **seconds: float) -> dict[str, Path]:
    for name, value in seconds.items():
        (folder / name).write_text(str(value))
    return {name: folder / name for name in seconds}


def test_files_are_measured_in_a_process_without_this_project(tmp_path):
    given = files(tmp_path, dense=0.01, compacted=0.003)
    found = measure(KIND, given, np.zeros((1, 2, 2, 1)), 2, (1, 3), SHORT)  # images are repeated
    assert [(row.network, row.batch) for row in found] == [
        *(("dense", 1), ("compacted", 1)),
        *(("dense", 3), ("compacted", 3)),
    ]
    assert all(row.threads == 2 and row.rounds == 4 for row in found)
    assert 10 <= found[0].milliseconds < 20 and 30 <= found[2].milliseconds < 50
    assert found[0].ratio == 1 and found[3].ratio == pytest.approx(0.3, abs=0.15)


def opened_with_this_project(path, images, threads):
    import tost_tf

    return tost_tf.strip


def test_what_cannot_be_measured(tmp_path):
    given = files(tmp_path, dense=0.01)
    images = np.zeros((1, 2, 2, 1))
    with pytest.raises(TostError, match=r"latency of the format 'seconds.txt' cannot be measured: .*`opened`"):
        measure(dataclasses.replace(KIND, opened=None), given, images, 1, (1,), SHORT)
    kind = dataclasses.replace(KIND, opened=opened_with_this_project)
    with pytest.raises(TostError, match="cannot be measured in a fresh process: .* meant to load without tost_tf"):
        measure(kind, given, images, 1, (1,), SHORT)
    with pytest.raises(TostError, match="cannot be measured in a fresh process: .*No such file"):
        measure(KIND, {"dense": tmp_path / "nothing"}, images, 1, (1,), SHORT)


def test_one_thread_and_all(monkeypatch):
    assert numbers_of_threads()[0] == 1
    monkeypatch.setattr(latency.os, "sched_getaffinity", lambda process: {0, 3, 5})
    assert numbers_of_threads() == (1, 3)
    monkeypatch.setattr(latency.os, "sched_getaffinity", lambda process: {4})
    assert numbers_of_threads() == (1,)


def rows(compacted: float, sparse: float = 1.0) -> list[Latency]:
    ratios = {"dense": 1.0, "sparse": sparse, "compacted": compacted}
    return [
        Latency(name, 1, batch, batch * 10 * ratio, (batch * 9 * ratio, batch * 11 * ratio), ratio, 20)
        for batch in (1, 32)
        for name, ratio in ratios.items()
    ]


COSTS = {
    "dense": Cost(5000, 5000, {"keras3": 900}),
    "sparse": Cost(5000, 700, {"keras3": 900}),
    "compacted": Cost(1200, 700, {"keras3": 300}),
}


def test_table_has_a_row_for_each_format_number_of_threads_and_batch():
    head, one, many, macs, nonzero, size, note = table({"keras3": rows(0.4)}, COSTS)
    assert head.split() == ["latency", "in", "ms", "threads", "batch", "dense", "sparse", "compacted"]
    assert one.split() == ["keras3", "1", "1", *["10", "(9–11)", "10", "(9–11)", "×1.00", "4", "(3.6–4.4)", "×0.40"]]
    assert many.split()[:5] == ["keras3", "1", "32", "320", "(288–352)"]
    assert macs.split() == ["MACs", "5,000", "5,000", "1,200"] and nonzero.split()[-2:] == ["700", "700"]
    assert size.split() == ["bytes,", "keras3", "900", "900", "300"] and "quartiles" in note
    unknown = {name: dataclasses.replace(cost, macs=None) for name, cost in COSTS.items()}
    assert table({"keras3": rows(0.4)}, unknown)[3].split() == ["MACs", "–", "–", "–"]


def test_verdict_says_when_nothing_is_gained():
    found = {"keras3": rows(0.4), "saved_model": rows(0.62)}
    assert gain(found, "compacted") == (0.4, 0.62)
    text = verdict(found, "masks of channels would")
    assert "Zeros alone: 1.00 of the dense network's time, since no format here skips them" in text
    assert text.endswith("Compacted: 0.40 to 0.62 of it.") and "would" not in text
    text = verdict({"keras3": rows(0.98)}, "masks of channels would")
    assert text.endswith("Compaction gains nothing (0.98): masks of channels would")
    assert "skips" not in verdict({"keras3": rows(0.9, sparse=0.8)}, "")


def test_numbers_for_the_manifest():
    found = as_dicts(rows(0.4), COSTS, "keras3")
    assert len(found) == 6 and found[5] == {
        **{"network": "compacted", "threads": 1, "batch": 32, "rounds": 20, "ratio": 0.4, "milliseconds": 128.0},
        **{"quartiles": (pytest.approx(115.2), pytest.approx(140.8)), "macs": 1200, "nonzero_macs": 700, "bytes": 300},
    }
    assert latency_table.GAIN == 0.97
