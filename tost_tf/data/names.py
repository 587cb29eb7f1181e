"""Names of datasets: of this project, of a user's data, and NAME, NAME/CONFIG or NAME:VERSION of TFDS."""

from __future__ import annotations

import re
from pathlib import Path

from tost_tf.data.sources import check_own, is_own
from tost_tf.errors import unknown_name
from tost_tf.registry import DATASETS

FORM = re.compile(r"(?P<name>\w+)(?P<config>/[^/:]+)?(?::[^/:]+)?")


def check_dataset(dataset: str, data_dir: str, what: str = "dataset") -> None:
    """Raises `TostError`, with the nearest name, if there is no such dataset.

    A dataset exists if it has a registered loader, names a user's data, is prepared in the data folder, or
    belongs to tensorflow-datasets. Whether it is for image classification is checked when it is loaded. `what` is the
    kind of name in the message.
    """
    if dataset in DATASETS:
        return
    if is_own(dataset):
        check_own(dataset, what)
        return
    form = FORM.fullmatch(dataset)
    if form and _is_prepared(form["name"] + (form["config"] or ""), data_dir):
        return
    import tensorflow_datasets as tfds  # only now: it takes a second

    of_tfds = tfds.list_builders(with_community_datasets=False)
    if not form or form["name"] not in of_tfds:
        raise unknown_name(what, dataset, (*DATASETS, *of_tfds))


def _is_prepared(folder: str, data_dir: str) -> bool:
    return any((Path(data_dir).expanduser() / folder).rglob("dataset_info.json"))
