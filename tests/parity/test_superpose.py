"""The superposition of three tickets, from their files to the logits, against NumPy."""

import json

import numpy as np
import pytest

from tests.exhaustive import exhaustive
from tests.parity import masked_network as reference
from tests.parity.masked_keras_network import arrays_of, assert_near, double_precision, keras_network
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.data.pipeline import first_examples
from tost_tf.dynamic.tickets import ticket_path
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.network import add_ghosts_and_compile
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages import superpose
from tost_tf.experiment.stages.stage import RunNetwork
from tost_tf.graph.weights import save_weights
from tost_tf.masks.masks import Masks

TICKETS = 3
RANKED = ("conv1/kernel", "conv2/kernel")  # the logits are left dense


def ticket(number: int) -> tuple[reference.Arrays, reference.Arrays]:
    """Weights, masked differently in each ticket, and statistics."""
    weights, statistics = reference.initial_weights(20 + number)
    masks = reference.initial_masks(number, 0.5)
    return weights | {name: weights[name] * masks[name] for name in RANKED}, statistics


def kept() -> int:
    return int(sum(reference.initial_masks(0, 0.5)[name].sum() for name in RANKED))


def gathered(weights: reference.Arrays, images: np.ndarray) -> reference.Arrays:
    """The statistics of one batch of all images, as training normalises it."""
    labels = np.eye(reference.CLASSES)[np.zeros(len(images), int)]
    _, _, norms = reference.loss_and_gradients(weights, images, labels)
    return {
        f"{name}/{kind}": value
        for name, norm in norms.items()
        for kind, value in (("moving_mean", norm.mean), ("moving_variance", norm.variance))
    }


def referenced(images: np.ndarray, shares: list[float]) -> tuple[reference.Arrays, reference.Arrays]:
    """Each ticket joins the pruned average of those before it."""
    weights, statistics = ticket(0)
    for number, share in enumerate(shares, 1):
        newest = ticket(number)[0]
        weights = {name: (1 - share) * value + share * newest[name] for name, value in weights.items()}
        sizes = np.sort(np.concatenate([np.abs(weights[name]).ravel() for name in RANKED]))
        threshold = sizes[-kept()]
        weights |= {name: np.where(np.abs(weights[name]) >= threshold, weights[name], 0) for name in RANKED}
        statistics = gathered(weights, images)
    return weights, statistics


@pytest.fixture(scope="module")
def data() -> ImageData:
    """11 training, 4 validation and 9 test images; a batch holds all training images."""
    generator = np.random.default_rng(1)

    def part(count: int) -> LabelledImages:
        images = generator.integers(0, 256, (count, *reference.IMAGE)).astype(np.uint8)
        return LabelledImages(images, generator.integers(0, reference.CLASSES, count).astype(np.int32))

    return ImageData(part(11), part(4), part(9), reference.CLASSES, (0.4, 0.5), (0.2, 0.3))


@pytest.mark.parametrize(("variant", "shares"), [exhaustive("caa", [1 / 2, 1 / 3]), ("cima", [0.3, 0.3])])
def test_weights_masks_statistics_and_logits(data, tmp_path, variant, shares):
    options = {"superpose": variant, "epochs": 6, "cycle_epochs": 1, "cycle_fraction": 0.4, "dense_layers": "^logits$"}
    options |= {"cima_factor": 0.3} if variant == "cima" else {}
    config = RunConfig.make(dataset="digits", recipe="default", mask="erk", batch_size=11, augment=False, **options)
    directory = RunDirectory(tmp_path)
    with double_precision():
        for number in range(TICKETS):
            save_weights(keras_network(*ticket(number)), ticket_path(directory.tickets, number))
        masks = reference.initial_masks(0, 0.5) | {"logits/kernel": np.ones(reference.KERNELS["logits/kernel"])}
        dense = keras_network(*ticket(TICKETS - 1))
        run, done = Run(config, data, directory), RunNetwork(dense, Masks(masks))
        done.fitted = add_ghosts_and_compile(config, dense, done.masks)
        superpose.compute(run, done)
        superpose.read(run, done)
        found = arrays_of(done.dense)
    images, _ = first_examples(data, data.train, 11)
    weights, statistics = referenced(np.asarray(images, float), shares)
    assert_near({name: found[name] for name in weights}, weights)
    # The images are normalised in float32.
    assert_near({name: found[name] for name in statistics}, statistics, 1e-6)
    assert done.masks == Masks({name: weights[name] != 0 for name in reference.KERNELS})
    assert sum(int(done.masks[name].sum()) for name in RANKED) == kept()
    tests, labels = first_examples(data, data.test, 9)
    logits = reference.inferred(weights, statistics, np.asarray(tests, float))
    assert_near({"logits": done.dense.predict(tests, verbose=0)}, {"logits": logits}, 1e-6)
    accuracy = float(np.mean(logits.argmax(1) == labels.argmax(1)))
    assert json.loads(directory.superposition.read_text())["superpositions"][-1]["test_accuracy"] == accuracy
