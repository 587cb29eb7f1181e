"""Data of the user's own by the name of a dataset."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import tost_tf as tost
from tost_tf.data.load import load
from tost_tf.data.names import check_dataset
from tost_tf.data.options import DataConfig
from tost_tf.errors import TostError
from tost_tf.registry import DATA_SOURCES, DATASETS


def load_named(dataset: str, **options):
    check_dataset(dataset, "nowhere")
    return load(DataConfig(dataset=dataset, validation_fraction=0.25, **options))


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (12, 4, 5, 3)).astype(np.uint8), np.arange(12) % 3
    return {"x_train": images, "y_train": labels, "x_test": images[:5], "y_test": labels[:5]}


def test_an_archive_of_arrays(tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays())
    data = load_named(f"npz:{tmp_path}/mine.npz")
    assert data.image_shape == (4, 5, 3) and (len(data.train), len(data.test), data.num_classes) == (9, 5, 3)
    np.testing.assert_array_equal(data.test.images, arrays()["x_test"])


@pytest.mark.parametrize("end", ["validation", "val", "valid"])
def test_an_archive_with_a_part_for_validation(tmp_path, end):
    some = arrays()
    own = {f"x_{end}": some["x_train"][:4] // 2, f"y_{end}": some["y_train"][:4]}
    np.savez(tmp_path / "mine.npz", **some, **own)
    data = load_named(f"npz:{tmp_path}/mine.npz")
    assert len(data.train) == 12
    np.testing.assert_array_equal(data.validation.images, own[f"x_{end}"])
    del own[f"y_{end}"]
    np.savez(tmp_path / "half.npz", **some, **own)
    with pytest.raises(TostError, match=f"half.npz has x_{end}: for validation give one pair of arrays"):
        load_named(f"npz:{tmp_path}/half.npz")


def test_archives_that_cannot_be_used(tmp_path):
    some = arrays()
    del some["y_test"]
    np.savez(tmp_path / "some.npz", **some, y_tset=[1])
    with pytest.raises(TostError, match="some.npz has no y_test: .* it has x_train, y_train, x_test, y_tset"):
        load_named(f"npz:{tmp_path}/some.npz")
    np.savez(tmp_path / "objects.npz", **(arrays() | {"x_train": np.array([{}] * 12)}))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").touch()
    np.save(tmp_path / "single.npy", np.arange(3))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    for name in ("objects", "text", "empty", "single"):
        with pytest.raises(TostError, match=f"{name}.npz cannot be read as an .npz file without pickles"):
            load_named(f"npz:{tmp_path}/{name}.npz")
    with pytest.raises(TostError, match="'npz:/no/file.npz': there is no /no/file.npz"):
        load_named("npz:/no/file.npz")


def write_images(folder, count: int, size: tuple[int, int] = (6, 4), mode: str = "RGB", first: int = 0) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new(mode, size, (first + number) if mode == "L" else (first + number, 7, 200)).save(
            folder / f"{number}.png"
        )


def test_a_folder_of_folders_of_images(tmp_path):
    write_images(tmp_path / "cats", 10)
    write_images(tmp_path / "dogs", 15, first=100)
    data = load_named(f"folder:{tmp_path}")
    assert data.image_shape == (4, 6, 3) and data.num_classes == 2
    assert (len(data.test), len(data.validation), len(data.train)) == (5, 5, 15)
    for part in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(part.images[:, 0, 0, 0] >= 100, part.labels == 1)
        assert (part.images[..., 1:] == (7, 200)).all()
    reds = np.concatenate([part.images[:, 0, 0, 0] for part in (data.train, data.validation, data.test)])
    assert sorted(reds) == [*range(10), *range(100, 115)]


def test_a_folder_with_parts(tmp_path):
    for part, count in (("train", 6), ("test", 3), ("validation", 2)):
        for place, name in enumerate(("b", "a")):
            write_images(tmp_path / part / name, count, mode="L", first=100 * place)
    data = load_named(f"folder:{tmp_path}")
    assert data.image_shape == (4, 6, 1)
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 4, 6)
    np.testing.assert_array_equal(data.test.images[:, 0, 0, 0], [100, 101, 102, 0, 1, 2])  # by name of the class
    (tmp_path / "validation").rename(tmp_path / "val")
    assert len(load_named(f"folder:{tmp_path}").validation) == 4
    (tmp_path / "dev/a").mkdir(parents=True)
    with pytest.raises(TostError, match="has dev/ beside train/: its folders may be train/, test/ and one for valid"):
        load_named(f"folder:{tmp_path}")
    (tmp_path / "dev/a").rename(tmp_path / "dev/drafts")
    (tmp_path / "validation").mkdir()
    with pytest.raises(TostError, match="has validation/, val/ beside train/"):
        load_named(f"folder:{tmp_path}")
    (tmp_path / "validation").rmdir()
    (tmp_path / "val").rename(tmp_path / "validation")
    (tmp_path / "test").rename(tmp_path.parent / "unused")
    assert len(load_named(f"folder:{tmp_path}").test) == 4  # validation/ in place of it
    (tmp_path / "validation/c").mkdir()
    with pytest.raises(TostError, match="validation has other classes than train/: c"):
        load_named(f"folder:{tmp_path}")


def test_a_folder_called_like_a_known_dataset_is_normalised_by_its_own_images(tmp_path):
    write_images(tmp_path / "cifar10/a", 5)
    write_images(tmp_path / "cifar10/b", 5)
    assert load_named(f"folder:{tmp_path}/cifar10").mean[2] == pytest.approx(200 / 255)


def test_images_of_several_sizes_are_given_one(tmp_path):
    write_images(tmp_path / "a", 5)
    write_images(tmp_path / "b", 5, size=(8, 9))
    with pytest.raises(
        TostError, match=r"different sizes, such as 4x6 \(0.png\) and 9x8 \(0.png\): set one with image_si"
    ):
        load_named(f"folder:{tmp_path}")
    assert load_named(f"folder:{tmp_path}", image_size=3).image_shape == (3, 3, 3)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(TostError, match="holds 0 folders: one for each class, with its images, is needed"):
        load_named(f"folder:{tmp_path}")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(TostError, match="there are no images in the folders of"):
        load_named(f"folder:{tmp_path}")
    (tmp_path / "a/broken.png").write_bytes(b"not an image")
    with pytest.raises(TostError, match="the image .*broken.png cannot be read"):
        load_named(f"folder:{tmp_path}")
    for name in "ab":
        write_images(tmp_path / "cut" / name, 3, size=(20, 30))
    whole = (tmp_path / "cut/b/1.png").read_bytes()
    (tmp_path / "cut/b/1.png").write_bytes(whole[: len(whole) // 2])  # the header is there
    with pytest.raises(TostError, match=r"/cut/b/1\.png cannot be read"):
        load_named(f"folder:{tmp_path}/cut")
    for name in ("Train", "Test"):
        (tmp_path / "capitals" / name / "cat").mkdir(parents=True)
    with pytest.raises(TostError, match="no train/, and its folders Test, Train hold no images, but folders"):
        load_named(f"folder:{tmp_path}/capitals")


MODULE = """
import numpy as np

def load(config):
    import my_helper  # in the same folder

    rows = np.arange(20.0).reshape(10, 2) + config.train_examples
    return rows, np.arange(10) % 2, rows[:4], np.arange(4) % 2

def wrong(config):
    return [1, 2]

def missing(config):
    return {"x": 3}["y_test"]
"""


def test_a_function_of_the_user(tmp_path, monkeypatch):
    (tmp_path / "my_rows.py").write_text(MODULE)
    (tmp_path / "my_helper.py").touch()
    monkeypatch.chdir(tmp_path)
    data = load_named("my_rows:load", train_examples=5)
    assert data.image_shape == (2,) and len(data.train) == 5 and data.test.images[0, 0] == 5
    with pytest.raises(TostError, match="my_rows has no function 'lode'"):
        load_named("my_rows:lode")
    with pytest.raises(TostError, match="my_rows:wrong returned list, it must return an ImageData or the four arrays"):
        load_named("my_rows:wrong")
    with pytest.raises(
        TostError, match=r"my_rows:missing raised KeyError: 'y_test' \(in line 14 of .*my_rows.py"
    ) as raised:
        load_named("my_rows:missing")
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(TostError, match="'my_row:load': there is no Python module 'my_row' here or installed"):
        load_named("my_row:load")


def test_a_dataset_of_the_user_by_name():
    data = load_named("digits")
    with DATASETS.temporarily("unused", None):  # at the end what was registered meanwhile is forgotten
        assert tost.datasets.register("mine", lambda config: data)
        assert load_named("mine") is data


def test_a_source_of_the_user_is_one_value(tmp_path):
    def load_csv(path, config):
        from tost_tf.data.arrays import from_arrays

        table = np.loadtxt(path, delimiter=",")
        part = (table[:, :-1], table[:, -1].astype(int))
        return from_arrays(path.name, part, part, config)

    np.savetxt(tmp_path / "table.csv", np.column_stack([np.eye(8), np.arange(8) % 2]), delimiter=",")
    with DATA_SOURCES.temporarily("csv", load_csv):
        data = load_named(f"csv:{tmp_path}/table.csv")
    assert data.image_shape == (8,) and dataclasses.is_dataclass(data)
