"""How long each way to find a mask takes, with its parts.

    python benchmarks/masks.py [--model resnet18] [--out benchmarks/results/masks.json]

On images of CIFAR's size at 98%, SNIP and GraSP on 100 of them (10 a class). Every search traces its own step once,
which is part of "score" and of "first score".
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import tost_tf as tost
from tost_tf.compat import tf
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks import gradient_scores
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.select import highest_count_of_all
from tost_tf.masks.synaptic_flow import SynapticFlow

SPARSITY, EXAMPLES = 0.98, 100


def timed(function):
    start = time.perf_counter()
    result = function()
    return result, round(time.perf_counter() - start, 3)


def measure(name: str) -> dict[str, dict[str, float]]:
    """Seconds by mask and part."""
    model = tost.models.build(name, (32, 32, 3), 10)
    weights = prunable_weights(model)
    images = tf.random.stateless_normal((EXAMPLES, 32, 32, 3), (1, 2))
    labels = tf.one_hot(tf.range(EXAMPLES) % 10, 10)
    data = [(images, labels)]
    seconds = {}
    for way in ("random", "magnitude", "erk"):
        seconds[way] = {"all": timed(lambda way=way: getattr(tost.masks, way)(model, sparsity=SPARSITY))[1]}
    for way, score in (("snip", gradient_scores.snip_scores), ("grasp", gradient_scores.grasp_scores)):
        scores, scoring = timed(lambda score=score: score(model, weights, data))
        seconds[way] = {"score": scoring, "select": timed(lambda scores=scores: selected(scores))[1]}
        seconds[way]["all"] = round(sum(seconds[way].values()), 3)
    flow, copying = timed(lambda: SynapticFlow(model))
    everything = tost.masks.random(model, sparsity=0.0)
    _, first = timed(lambda: flow.scores(everything))
    scores, again = timed(lambda: flow.scores(everything))
    seconds["synflow"] = {
        "copy": copying,
        "first score (traced once)": first,
        "each further score": again,
        "each selection": timed(lambda: selected(scores))[1],
        "all 100 iterations": timed(lambda: tost.masks.synflow(model, sparsity=SPARSITY))[1],
    }
    return seconds


def selected(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return highest_count_of_all(scores, kept_count(sum(score.size for score in scores.values()), SPARSITY))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/masks.json"))
    arguments = parser.parse_args()
    result = {
        "command": f"python benchmarks/masks.py --model {arguments.model}",
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, TensorFlow {tf.__version__}",
        "seconds": measure(arguments.model),
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
