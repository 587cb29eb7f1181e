"""Numbers and tables of the documentation, read from `benchmarks/results/` when the site is built."""

from __future__ import annotations

import csv
import json
import statistics
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of results."""
    with (RESULTS / name).open() as file:
        return list(csv.DictReader(file))


def number(name: str, *keys: str, digits: int = 2) -> str:
    """One number of a JSON file of results, by its keys."""
    value: Any = json.loads((RESULTS / name).read_text())
    for key in keys:
        value = value[key]
    return f"{value:.{digits}f}"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def overhead() -> str:
    """The cost of a step, as ratios."""
    ratios = json.loads((RESULTS / "overhead.json").read_text())["ratios"]
    return table(["step", "ratio"], ([name, f"{ratio:.2f}"] for name, ratio in ratios.items()))


def mask_seconds() -> str:
    """Seconds to find each mask on ResNet-18; the last number of each method is that of the whole search."""
    seconds = json.loads((RESULTS / "masks.json").read_text())["seconds"]
    return table(["mask", "seconds"], ([name, f"{list(parts.values())[-1]:.1f}"] for name, parts in seconds.items()))


def tweaks(name: str) -> str:
    """Each tweak beside the default recipe: mean ± deviation, then paired differences ± standard error."""
    found = rows(name)
    columns = list(dict.fromkeys((row["mask"], row["sparsity"]) for row in found))
    names = list(dict.fromkeys(row["tweak"] for row in found))
    cells = {(row["tweak"], row["mask"], row["sparsity"]): row for row in found}

    def cell(tweak: str, column: tuple[str, str]) -> str:
        row = cells.get((tweak, *column))
        if row is None:
            return ""
        if tweak == names[0]:
            return f"{float(row['mean']):.1f}" + (f" ± {float(row['std']):.1f}" if row["std"] else "")
        error = f" ± {float(row['standard_error']):.1f}" if row["standard_error"] else ""
        return f"{float(row['difference']):+.1f}{error}"

    head = ["", *(f"{mask} {100 * float(sparsity):.0f}%" for mask, sparsity in columns)]
    return table(head, ([tweak.replace("_", " "), *(cell(tweak, column) for column in columns)] for tweak in names))


def suptickets() -> str:
    """Sup-tickets on digits, at the end of training: what each method has, and what Sup-tickets add."""
    found = [row for row in rows("suptickets_digits.csv") if row["network"] == "end"]
    sparsities = list(dict.fromkeys(row["sparsity"] for row in found))
    cells = {(row["method"], row["sparsity"]): row for row in found}
    methods = [method for method in dict.fromkeys(row["method"] for row in found) if "Sup-tickets" not in method]
    head = [""]
    for sparsity in sparsities:
        head += [f"{100 * float(sparsity):.0f}%", "Sup-tickets add"]
    body = []
    for method in methods:
        line = [method]
        for sparsity in sparsities:
            own, more = cells[method, sparsity], cells[f"{method} + Sup-tickets", sparsity]
            gain = "" if method == methods[0] else f" ({own['difference']} ± {own['standard_error']})"
            line += [f"{own['mean']} ± {own['std']}{gain}", more["difference_to_same_method"]]
        body.append(line)
    return table(head, body)


def compaction() -> str:
    """MACs left, by network and mask."""
    found = rows("compact.csv")
    masks = list(dict.fromkeys(row["mask"] for row in found))
    cells = {(row["model"], row["sparsity"], row["mask"]): row for row in found}

    def cell(row: dict[str, str] | None) -> str:
        nothing = row is None or row["summary"].startswith("hardly anything")
        return "–" if nothing else f"{float(row['macs_ratio']):.0%}"

    networks = dict.fromkeys((row["model"], row["sparsity"]) for row in found)
    return table(
        ["", *masks],
        (
            [f"{model}, {float(sparsity):.0%}", *(cell(cells.get((model, sparsity, mask))) for mask in masks)]
            for model, sparsity in networks
        ),
    )


def latency() -> str:
    """The time of the compacted network to that of the dense one, by network, mask and format: a number for each batch.

    A row for each number of threads; in the first of a network and mask the MACs left.
    """
    found = rows("latency.csv")
    formats, batches = (list(dict.fromkeys(row[name] for row in found)) for name in ("format", "batch"))
    places = ("model", "mask", "threads", "format", "batch", "network")
    cells = {tuple(row[name] for name in places): row for row in found}
    body = []
    for model, mask, threads in dict.fromkeys((row["model"], row["mask"], row["threads"]) for row in found):
        line = []
        for kind in formats:
            own = [cells[model, mask, threads, kind, batch, "compacted"]["ratio"] for batch in batches]
            line.append(", ".join(f"{float(ratio):.2f}" for ratio in own))
        dense, small = (
            int(cells[model, mask, threads, formats[0], batches[0], network]["macs"])
            for network in ("dense", "compacted")
        )
        body.append([model, mask, f"{small / dense:.0%}", threads, *line])
    return table(["network", "mask", "MACs left", "threads", *formats], body)


def channel_multiples() -> str:
    """MACs and milliseconds of compacted networks whose masks keep channels in multiples."""
    names = ["pattern", "MACs", "inference, ms", "training step, ms"]
    return table(
        ["network", *names],
        (
            [
                f"{row['model']}, {float(row['sparsity']):.0%}",
                *(f"{int(row[n]):,}" if n == "MACs" else row[n] for n in names),
            ]
            for row in rows("channel_multiples.csv")
        ),
    )


def sparse_latency() -> str:
    """The time of sparse networks, not compacted, to that of dense ones, the median of all rows."""
    return f"{statistics.median(float(row['ratio']) for row in rows('latency.csv') if row['network'] == 'sparse'):.2f}"


def of_calls(threads: str, channels: str) -> str:
    """The time of a MobileNet with a share of the channels to that with all, for one image."""
    (row,) = (row for row in rows("latency_of_calls.csv") if (row["threads"], row["channels"]) == (threads, channels))
    return row["to all channels"]


def compact_training() -> str:
    """MACs left, and times to those of training with all channels."""
    return table(
        ["", "MACs left", "training step", "of the smaller network by itself", "validation", "epoch"],
        (
            [f"{row['model']}, {row['mask']}", f"{float(row['macs_ratio']):.0%}"]
            + [f"{float(row[f'{part}_ratio']):.2f}" for part in ("step", "alone_step", "validation", "epoch")]
            for row in rows("compact_training.csv")
        ),
    )


def compact_training_accuracy() -> str:
    """Test accuracies of the same runs with all channels and without dead ones, by seed."""
    return "; ".join(
        f"{100 * float(row['test_accuracy']):.1f} and {100 * float(row['test_accuracy_compact']):.1f}%"
        for row in rows("compact_training_accuracy.csv")
    )


def search() -> str:
    """Everything tried in the search for a recipe, by seed."""
    found = rows("search.csv")
    flags = next(iter(found[0]))
    by_flags: dict[str, list[dict[str, str]]] = {}
    for row in found:
        by_flags.setdefault(row[flags], []).append(row)
    body = []
    for text, runs in by_flags.items():
        runs = sorted(runs, key=lambda row: int(row["seed"]))
        body.append(
            [
                " ".join(f"`{flag}`" if flag.startswith("--") else flag for flag in text.split()),
                ", ".join(row["seed"] for row in runs),
                ", ".join(row["validation accuracy"] for row in runs),
                ", ".join(row["training accuracy"] for row in runs),
            ]
        )
    return table(["flags", "seeds", "validation accuracy, %", "training accuracy, %"], body)


LONG = "--crop_padding=0 --train_examples=0 --epochs=40 --sparsity=0.98 --mixed_precision=bfloat16"


def long_training() -> str:
    """What was tried in long training at 98% without crops, seed 0, beside the default recipe; the best first."""
    found = {next(iter(row.values())): row for row in rows("search.csv") if row["seed"] == "0"}
    tried = {flags.removesuffix(LONG).strip(): row for flags, row in found.items() if flags.endswith(LONG)}
    default = float(tried["--recipe=default --schedule=cosine --learning_rate=0.1"]["validation accuracy"])
    body = [
        [
            " ".join(f"`{flag}`" for flag in flags.split()),
            row["validation accuracy"],
            f"{float(row['validation accuracy']) - default:+.2f}",
            row["training accuracy"],
        ]
        for flags, row in sorted(tried.items(), key=lambda item: -float(item[1]["validation accuracy"]))
    ]
    return table(["flags", "validation accuracy, %", "beside the default", "training accuracy, %"], body)


def confirmation() -> str:
    """The cells of the confirmation in which all seeds are finished, or how many runs there are."""
    found: dict[tuple[str, str, str], dict[str, dict[str, float]]] = {}
    runs = rows("confirm.csv")
    for row in runs:
        own = found.setdefault((row["network"], row["mask"], row["sparsity"]), {})
        own.setdefault(row["method"], {})[row["seed"]] = float(row["test accuracy"])
    body = []
    for cell, methods in found.items():
        base = methods.get("default", {})
        for method, own in methods.items():
            if method != "default" and len(own) == 3 and own.keys() == base.keys():
                means = [f"{statistics.mean(values.values()):.2f}" for values in (base, own)]
                plus = {} if method == "tost_plus" else methods.get("tost_plus", {})
                body.append([*cell, method, *means, paired(own, base), paired(own, plus)])
    if not body:
        return f"No cell of it is complete yet: {len(runs)} of its runs {'is' if len(runs) == 1 else 'are'} finished."
    cells = ["default, %", "method, %", "beside default", "beside tost_plus"]
    return table(["network", "mask", "sparsity", "method", *cells], body)


def paired(own: dict[str, float], base: dict[str, float]) -> str:
    """Mean and standard error of the differences by seed, and p of a paired t-test; nothing where a seed is missing."""
    if own.keys() != base.keys():
        return ""
    pairs = [own[seed] - base[seed] for seed in own]
    p_value = stats.ttest_1samp(pairs, 0).pvalue
    return f"{statistics.mean(pairs):+.2f} ± {statistics.stdev(pairs) / len(pairs) ** 0.5:.2f} (p = {p_value:.3f})"


def confirmation_on_validation() -> str:
    """Every finished run of the confirmation, by seed, without its test accuracy."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows("confirm.csv"):
        found.setdefault((row["network"], row["mask"], row["sparsity"], row["method"]), []).append(row)
    columns = ("seed", "validation accuracy", "training accuracy")
    return table(
        ["network", "mask", "sparsity", "method", "seeds", "validation, %", "training, %"],
        (
            [*cell, *(", ".join(row[column] for row in sorted(own, key=lambda row: row["seed"])) for column in columns)]
            for cell, own in found.items()
        ),
    )


def span(name: str, column: str, digits: int = 2) -> str:
    """The smallest and the largest number of a column: "2.35 to 2.63"."""
    numbers = [float(row[column]) for row in rows(name)]
    return f"{min(numbers):.{digits}f} to {max(numbers):.{digits}f}"


def macs_left(model: str, mask: str, sparsity: float) -> str:
    """MACs left by compaction as the network starts, and with random shifts in its normalisations."""
    (row,) = [
        row
        for row in rows("compact.csv")
        if (row["model"], row["mask"], float(row["sparsity"])) == (model, mask, sparsity)
    ]
    shifted = int(row["macs_after_shifted"]) / int(row["macs"])
    return f"{shifted:.0%} of its MACs left in place of {float(row['macs_ratio']):.0%}"


def gain(flags: str, beside: str, digits: int = 1) -> str:
    """The mean gain in validation accuracy of one row of the search over another, paired by seed, in points."""
    by_seed: list[dict[str, float]] = []
    for wanted in (flags, beside):
        found = [row for row in rows("search.csv") if next(iter(row.values())) == wanted]
        by_seed.append({row["seed"]: float(row["validation accuracy"]) for row in found})
    both = by_seed[0].keys() & by_seed[1].keys()
    if not both:
        raise ValueError(f"no seed has both {flags!r} and {beside!r}")
    return f"{sum(by_seed[0][seed] - by_seed[1][seed] for seed in both) / len(both):.{digits}f}"


def beside_default(flags: str, images: str = "flips") -> str:
    """What the default recipe gains at 98% in long training by other flags than its learning rate of 0.1.

    Both with images that are flipped only ("flips"), or cropped as well ("crops").
    """
    common = {"flips": LONG, "crops": LONG.removeprefix("--crop_padding=0 ")}[images]
    own, base = (f"--recipe=default --schedule=cosine {each} {common}" for each in (flags, "--learning_rate=0.1"))
    return gain(own, base, digits=2)


def channel_macs(model: str) -> str:
    """The share of the MACs that channels at 75% by magnitude leave."""
    found = [row for row in rows("latency.csv") if row["model"] == model and row["mask"] == "channels 75%"]
    (share,) = {f"{int(row['macs']) / int(found[0]['macs']):.0%}" for row in found if row["network"] == "compacted"}
    return share


MACROS = (
    long_training,
    number,
    overhead,
    mask_seconds,
    tweaks,
    suptickets,
    compaction,
    channel_multiples,
    latency,
    sparse_latency,
    search,
    confirmation,
    confirmation_on_validation,
    span,
    macs_left,
    compact_training,
    of_calls,
    compact_training_accuracy,
    gain,
    beside_default,
    channel_macs,
)


def define_env(env: Any) -> None:
    """Makes the functions known to the pages, as mkdocs-macros asks for."""
    for function in MACROS:
        env.macro(function)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    env.variables["repository"] = project["urls"]["Source"]
