import pytest

from tost_tf.data.base_name import base_name
from tost_tf.data.names import check_dataset
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig


def test_the_name_alone():
    names = ("mnist", "mnist:3.0.1", "emnist/letters", "emnist/letters:3.1.0", "imagenet_resized/8x8")
    assert [base_name(name) for name in names] == ["mnist", "mnist", "emnist", "emnist", "imagenet_resized"]


@pytest.mark.parametrize("name", ["digits", "cifar10:3.0.2", "emnist/letters", "emnist/letters:3.1.0", "cifar10_n"])
def test_names_that_are_right(tmp_path, name):
    check_dataset(name, str(tmp_path))


def test_every_name_of_tensorflow_datasets_is_right(tmp_path):
    import tensorflow_datasets as tfds

    names = tfds.list_builders(with_community_datasets=False)
    assert len(names) > 100
    for name in names[::40]:
        check_dataset(name, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cifer10", "did you mean 'cifar10'\\? known ones are cifar10, "),
        ("cifar10_corupted", "did you mean 'cifar10_corrupted'\\?"),
        ("digits:1.0.0", "did you mean 'digits'\\?"),
        ("mnist/a/b", "unknown dataset 'mnist/a/b'"),
        ("/tmp/mnist", "unknown"),
        ("mnist:", "did you mean 'mnist'"),
        ("huggingface:mnist", "there is no Python module 'huggingface'"),
        ("", "unknown dataset ''"),
    ],
)
def test_names_that_are_wrong(tmp_path, name, told):
    with pytest.raises(TostError, match=told):
        check_dataset(name, str(tmp_path))


def test_one_prepared_in_the_data_folder_may_have_a_configuration_and_a_version(tmp_path):
    (tmp_path / "mine/large/1.0.0").mkdir(parents=True)
    (tmp_path / "mine/large/1.0.0/dataset_info.json").write_text("{}")
    for name in ("mine", "mine/large", "mine/large:1.0.0"):
        check_dataset(name, str(tmp_path))
    with pytest.raises(TostError, match="unknown dataset 'mine/small'"):
        check_dataset("mine/small", str(tmp_path))


def test_characters_are_known_by_their_name_alone():
    assert not RunConfig.make(dataset="emnist/letters").data.augment
    assert RunConfig.make(dataset="cifar10:3.0.2").data.augment
    assert RunConfig.make(dataset="emnist/letters").machine.run_dir.startswith("runs/resnet32_emnist_letters_random95_")
