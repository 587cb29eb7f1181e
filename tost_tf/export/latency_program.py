"""A separate program: measures how long exported files take, with only the packages of their format.

Usage: python -I latency_program.py OPENER.py FUNCTION REQUEST.json IMAGES.npz OUTPUT.npz HIDDEN...
OPENER.py has the function that opens a file: the `opened` of a `Format`. REQUEST.json holds `files` (a list of paths),
`batches` (sizes), `threads`, `fewest` and `most` (rounds for each size of a batch) and `seconds` (after which no round
beyond `fewest` begins). IMAGES.npz holds `images`, in the form the files take, as many as the largest batch. OUTPUT.npz
gets an array for each size of a batch, under its number: seconds, [rounds, files].

Files take turns: in each round each of them is run, in another order than in the round before, until every order has
been. A turn is two calls, and the second is measured, as in a process that runs one network again and again. So what
else the machine does hits all of them alike. HIDDEN are packages that cannot be imported here. The environment has set
the number of threads before anything is imported, and may name more folders of packages (TOST_SEARCH_PATH).
"""

from __future__ import annotations

import itertools
import json
import os
import runpy
import sys
import time

MORE = os.environ.get("TOST_SEARCH_PATH", "").split(os.pathsep)
sys.path += [path for path in MORE if path and path not in sys.path]

import numpy as np  # noqa: E402 (it may be in one of those folders)

WARM_UP = 2


def seconds_of(call) -> float:
    """How long the second of two calls takes."""
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(calls: list, fewest: int, most: int, seconds: float) -> np.ndarray:
    """Seconds of each call in each round, [rounds, calls]."""
    for call in calls * WARM_UP:
        call()
    orders = itertools.cycle(itertools.permutations(range(len(calls))))
    rounds, start = [], time.perf_counter()
    while len(rounds) < fewest or (len(rounds) < most and time.perf_counter() - start < seconds):
        times = np.zeros(len(calls))
        for place in next(orders):
            times[place] = seconds_of(calls[place])
        rounds.append(times)
    return np.stack(rounds)


def main(opener: str, function: str, request_file: str, input_file: str, output_file: str, *hidden: str) -> None:
    sys.modules.update(dict.fromkeys(hidden))  # `None` makes Python's import raise
    images = np.load(input_file, allow_pickle=False)["images"]
    with open(request_file) as file:
        request = json.load(file)
    how_long = [request[name] for name in ("fewest", "most", "seconds")]
    try:
        opened = runpy.run_path(opener)[function]
        answers = {}
        for batch in request["batches"]:
            calls = [opened(path, images[:batch], request["threads"]) for path in request["files"]]
            answers[str(batch)] = in_turns(calls, *how_long)
    except ModuleNotFoundError as error:
        sys.exit(f"the export was meant to load without {error.name}" if error.name in hidden else str(error))
    np.savez(output_file, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
