"""Names of datasets: those of this project, and NAME, NAME/CONFIG or NAME:VERSION of tensorflow-datasets."""

import re
from pathlib import Path

from tost_tf.config.names import DATASETS, TFDS_DATASETS
from tost_tf.errors import unknown_name

FORM = re.compile(r"(?P<name>\w+)(?P<config>/[^/:]+)?(?::[^/:]+)?")


def base_name(dataset: str) -> str:
    """The name without configuration and version: "emnist" of "emnist/letters:3.1.0"."""
    return re.split("[/:]", dataset, maxsplit=1)[0]


def check_dataset(dataset: str, data_dir: str) -> None:
    """Raises `TostError`, with the nearest name, if there is no such dataset.

    There is one if it has a loader of its own, is of tensorflow-datasets, or is prepared in the data folder. Whether
    one that is not in `TFDS_DATASETS` is for image classification is seen when it is loaded.
    """
    if dataset in DATASETS:
        return
    form = FORM.fullmatch(dataset)
    if form and (form["name"] in TFDS_DATASETS or _is_prepared(form["name"] + (form["config"] or ""), data_dir)):
        return
    others = _all_of_tfds()  # only now: importing it takes a second
    if form and form["name"] in others:
        return
    raise unknown_name("--dataset", dataset, (*DATASETS, *TFDS_DATASETS), others, "others of tensorflow-datasets")


def _is_prepared(folder: str, data_dir: str) -> bool:
    return any((Path(data_dir).expanduser() / folder).rglob("dataset_info.json"))


def _all_of_tfds() -> list[str]:
    """Every name that tensorflow-datasets knows, for any task; none where it is not installed."""
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        return []
    return tfds.list_builders(with_community_datasets=False)
