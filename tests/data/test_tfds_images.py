import numpy as np
import pytest
import tensorflow_datasets as tfds

from tost_tf.compat import tf
from tost_tf.data.load import load
from tost_tf.data.options import DataConfig
from tost_tf.errors import TostError

LABEL = tfds.features.ClassLabel(num_classes=4)
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 3)).astype(np.uint8)


def prepare(
    folder,
    name="made_up",
    parts=("train", "test"),
    label=None,
    shape=(6, 5, 3),
    more=(),
    supervised=True,
    dtype=np.uint8,
):
    """Writes a real TFDS dataset of 30 images a part into `folder`; `more` are names of other classes of an image."""
    features = {"image": tfds.features.Image(shape=shape, dtype=dtype), "label": label or LABEL}
    features = tfds.features.FeaturesDict(features | dict.fromkeys(more, LABEL))
    values = {"image": IMAGES.astype(dtype), "label": np.arange(30) % 4} | {key: np.arange(30) % 3 for key in more}
    slices = tf.data.Dataset.from_tensor_slices(values)
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name, version="1.0.0", features=features, split_datasets=dict.fromkeys(parts, slices), data_dir=folder
    )
    if not supervised:
        return
    info = next(folder.glob(f"{name}/*/dataset_info.json"))
    # What `supervised_keys=("image", "label")` writes in a builder of one's own.
    keys = '"supervisedKeys": {"tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}}'
    info.write_text(info.read_text().rstrip().removesuffix("}").rstrip() + f", {keys}}}")


def test_prepared_dataset_is_read_completely(tmp_path):
    prepare(tmp_path)
    data = load(DataConfig(dataset="made_up", data_dir=str(tmp_path), validation_fraction=0.2))
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 6, 30)
    assert data.num_classes == 4 and data.image_shape == (6, 5, 3)
    by_content = {image.tobytes(): number for number, image in enumerate(IMAGES)}
    found = [by_content[image.tobytes()] for image in data.test.images]
    assert sorted(found) == list(range(30))
    np.testing.assert_array_equal(data.test.labels, np.array(found) % 4)


@pytest.mark.parametrize("more", [(), ("colour", "shape")])
def test_no_keys_for_supervised_training_are_needed(tmp_path, more):
    """As in dtd, sun397 and cifar10_n."""
    prepare(tmp_path, more=more, supervised=False)
    data = load(DataConfig(dataset="made_up", data_dir=str(tmp_path)))
    assert data.num_classes == 4 and sorted(data.test.labels) == sorted(np.arange(30) % 4)


def test_more_than_two_keys_for_supervised_training(tmp_path):
    """As in places365_small, which gives the name of the file as well."""
    prepare(tmp_path)
    info = next(tmp_path.glob("made_up/*/dataset_info.json"))
    info.write_text(info.read_text().replace('{"featureKey": "label"}', '{"featureKey": "label"}, {"featureKey": "x"}'))
    assert len(load(DataConfig(dataset="made_up", data_dir=str(tmp_path))).test) == 30


def test_a_version_may_be_named(tmp_path):
    prepare(tmp_path)
    assert len(load(DataConfig(dataset="made_up:1.0.0", data_dir=str(tmp_path))).test) == 30
    with pytest.raises(TostError, match="cannot open made_up:2.0.0 in"):
        load(DataConfig(dataset="made_up:2.0.0", data_dir=str(tmp_path)))


def test_images_are_resized(tmp_path):
    prepare(tmp_path)
    data = load(DataConfig(dataset="made_up", data_dir=str(tmp_path), image_size=3))
    assert data.image_shape == (3, 3, 3)


def test_validation_split_is_the_test_part_if_there_is_no_other(tmp_path):
    prepare(tmp_path, parts=("train", "validation"))
    assert len(load(DataConfig(dataset="made_up", data_dir=str(tmp_path))).test) == 30


def test_what_cannot_be_used_is_refused(tmp_path):
    prepare(tmp_path / "a", parts=("train",))
    with pytest.raises(TostError, match="has the splits train: a training and a test split are needed"):
        load(DataConfig(dataset="made_up", data_dir=str(tmp_path / "a")))
    prepare(tmp_path / "b", label=tfds.features.Scalar(np.int64))
    told = r"made_up is not an image-classification dataset: .* features are image \(Image of uint8\), label \(Scalar\)"
    with pytest.raises(TostError, match=told):
        load(DataConfig(dataset="made_up", data_dir=str(tmp_path / "b")))
    prepare(tmp_path / "d", dtype=np.uint16)
    with pytest.raises(TostError, match=r"made_up is not an image-classification .* image \(Image of uint16\)"):
        load(DataConfig(dataset="made_up", data_dir=str(tmp_path / "d")))
    prepare(tmp_path / "c", shape=(None, None, 3))
    with pytest.raises(TostError, match="have different sizes: set one with image_size"):
        load(DataConfig(dataset="made_up", data_dir=str(tmp_path / "c")))


@pytest.mark.parametrize(
    ("name", "features"),
    [("imdb_reviews", r"label \(ClassLabel\), text \(Text\)"), ("nsynth", r"audio .*, id \(Tensor\)")],
)
def test_a_dataset_for_something_else_is_refused_before_it_is_downloaded(tmp_path, name, features):
    with pytest.raises(TostError, match=f"{name} is not an image-classification dataset: .* {features}"):
        load(DataConfig(dataset=name, data_dir=str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_dataset_that_is_not_there_and_cannot_be_downloaded(tmp_path, monkeypatch):
    # An address of this machine where nothing answers, so that the test is the same with and without a network.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(TostError, match=r"cifar100 is not in .* and cannot be downloaded"):
        load(DataConfig(dataset="cifar100", data_dir=str(tmp_path)))
    assert not (tmp_path / "cifar100").exists()
