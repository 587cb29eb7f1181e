"""Bad input at the command line: one clear sentence, a non-zero exit, no traceback, earlier results as they were."""

import contextlib
import resource

import numpy as np
import pytest

import tost_tf as tost


def one_sentence(result, words):
    code, _, errors = result
    lines = [line for line in errors.splitlines() if line.startswith("tost-train: error: ")]
    assert code == 2, errors
    assert len(lines) == 1 and words in lines[0], errors
    assert "Traceback" not in errors


@contextlib.contextmanager
def processor_time(below: float):
    """Seconds of a processor that processes started in this block take: fewer than TensorFlow takes to be imported."""

    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = seconds()
    yield
    assert seconds() - before < below


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (
            "--model=resnet33",
            "unknown --model 'resnet33': did you mean 'resnet34'? known ones are applications/NAME, mobilenet",
        ),
        ("--mask=ranndom", "unknown --mask 'ranndom': did you mean 'random'?"),
        ("--sparsity=1.0", "--sparsity is 1, it must be at least 0 and below 1"),
        ("--sparsity=-0.5", "--sparsity is -0.5"),
        ("--flagfile=none.flags", "none.flags"),
    ],
)
def test_bad_flags_are_one_sentence(run_here, argument, words):
    one_sentence(run_here("tost-train", argument), words)


@pytest.mark.parametrize(
    ("argument", "words"),
    [("--sparcity=0.5", "Unknown command line flag 'sparcity'"), ("--epochs=0", "--epochs is 0")],
)
def test_bad_flags_are_answered_immediately(tost_train, argument, words):
    with processor_time(below=2):
        one_sentence(tost_train(argument), words)


def test_an_unknown_dataset_is_answered_soon(tost_train):
    """Not at once: tensorflow-datasets is asked for its names, which takes no TensorFlow."""
    with processor_time(below=5):
        one_sentence(tost_train("--dataset=cifer10"), "unknown --dataset 'cifer10': did you mean 'cifar10'?")


def test_help_is_answered_immediately(tost_train):
    with processor_time(below=2):
        code, output, _ = tost_train("--help")
    assert code == 0 and "--sparsity" in output and "usage: tost-train" in output


def test_dataset_that_is_not_there(run_here, tmp_path):
    result = run_here("tost-train", "--dataset=tiny_imagenet", f"--data_dir={tmp_path}", f"--run_dir={tmp_path}/run")
    one_sentence(result, f"tiny_imagenet is not at {tmp_path}/tiny-imagenet-200")


def test_run_directory_that_cannot_be_written(run_here, small_run, tmp_path):
    (tmp_path / "file").write_text("mine")
    one_sentence(run_here("tost-train", *small_run, f"--run_dir={tmp_path}/file/run"), "cannot be written")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture(scope="module")
def fitting_mask():
    model = tost.models.build("resnet8", (8, 8, 1), 10, 0.25)
    return tost.masks.random(model, sparsity=0.8)


def test_mask_files_that_do_not_fit(run_here, small_run, tmp_path, fitting_mask):
    masks = dict(fitting_mask)
    wrong = masks | {"stem_conv/kernel": np.ones((3, 3, 2, 4)), "extra/kernel": np.ones(3)}
    del wrong["stage2_block1_conv1/kernel"]
    np.savez(tmp_path / "shape.npz", **wrong)
    np.savez(tmp_path / "value.npz", **(masks | {"logits/kernel": np.full((16, 10), 2)}))
    (tmp_path / "text.npz").write_text("no archive")
    fitting_mask.save(tmp_path / "cut.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-300])
    for name, words in (
        (
            "shape.npz",
            "stage2_block1_conv1/kernel is missing; extra/kernel is not a prunable weight of the model 'resnet8'; stem",
        ),
        ("value.npz", "logits/kernel holds"),
        ("text.npz", "cannot be read as a mask file"),
        ("cut.npz", "cannot be read as a mask file"),
    ):
        run = tmp_path / f"run_{name}"
        options = [option for option in small_run if not option.startswith("--sparsity=")]
        options += ["--model=resnet8", "--width_multiplier=0.25"]
        one_sentence(run_here("tost-train", *options, f"--mask_file={tmp_path / name}", f"--run_dir={run}"), words)
        assert not (run / "mask.npz").exists() and not (run / "result.json").exists()
