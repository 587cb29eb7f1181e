import numpy as np
import pytest

from tost_tf.compat import tf
from tost_tf.data.load import load
from tost_tf.data.options import DataConfig
from tost_tf.errors import TostError


def write_image(path, value, channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((64, 64, channels), value, np.uint8)
    path.write_bytes(tf.io.encode_jpeg(image, quality=100).numpy())


@pytest.fixture
def folder(tmp_path):
    """The layout of the published archive, with two classes."""
    root = tmp_path / "tiny-imagenet-200"
    for label, name in enumerate(("n02", "n01")):
        for number in range(5):
            channels = 1 if number == 0 else 3
            write_image(root / f"train/{name}/images/{name}_{number}.JPEG", 100 * label + number, channels)
    (root / "wnids.txt").write_text("n02\nn01\n")
    for number in range(3):
        write_image(root / f"val/images/val_{number}.JPEG", 200 + number)
    lines = [f"val_{number}.JPEG\t{name}\t0\t0\t62\t62\n" for number, name in enumerate(("n01", "n02", "n01"))]
    (root / "val/val_annotations.txt").write_text("".join(lines))
    return root


@pytest.mark.parametrize("inside", [False, True])
def test_archive_is_read(folder, inside):
    data = load(DataConfig(dataset="tiny_imagenet", data_dir=str(folder if inside else folder.parent)))
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 1, 3)
    assert data.image_shape == (64, 64, 3) and data.num_classes == 2
    assert data.test.labels.tolist() == [1, 0, 1]
    assert [int(image[0, 0, 0]) for image in data.test.images] == [200, 201, 202]
    for image, label in zip(data.train.images, data.train.labels, strict=True):
        assert image[0, 0, 0] // 100 == label


def test_images_are_resized(folder):
    assert load(DataConfig(dataset="tiny_imagenet", data_dir=str(folder), image_size=8)).image_shape == (8, 8, 3)


def test_missing_and_broken_folders_are_named(folder, tmp_path):
    with pytest.raises(TostError, match=r"tiny_imagenet is not at .*nowhere/tiny-imagenet-200"):
        load(DataConfig(dataset="tiny_imagenet", data_dir=str(tmp_path / "nowhere")))
    (folder / "val/images/val_1.JPEG").write_bytes(b"no image")
    with pytest.raises(TostError, match="an image of tiny_imagenet cannot be read"):
        load(DataConfig(dataset="tiny_imagenet", data_dir=str(folder)))
    (folder / "val/val_annotations.txt").unlink()
    with pytest.raises(TostError, match="10 training and 0 validation images were found"):
        load(DataConfig(dataset="tiny_imagenet", data_dir=str(folder)))
