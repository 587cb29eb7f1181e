"""`tost-mask` through the command line."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

import tost_tf as tost
from tost_tf.compat import keras


@pytest.fixture(scope="module")
def small(small_run) -> list[str]:
    """Without layers left dense."""
    return [flag for flag in small_run if "dense_layers" not in flag]


@pytest.fixture(scope="module")
def from_file(small) -> list[str]:
    """Without a sparsity."""
    return [flag for flag in small if "sparsity" not in flag]


def in_torch(path: str, array: np.ndarray) -> np.ndarray:
    """A kernel of the little network, or its mask, as PyTorch has it; the classifier reads 3x3 pixels of 8 channels."""
    if path == "logits/kernel":
        return np.ascontiguousarray(array.T.reshape(10, 3, 3, 8).transpose(0, 3, 1, 2).reshape(10, 72))
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1))


def test_mask_is_found_printed_and_drawn(run_here, small, tmp_path):
    out = tmp_path / "mask.npz"
    search = ("--mask=snip", "--mask_examples_per_class=5", "--sparsity=0.97")
    code, output, errors = run_here("tost-mask", *small, *search, f"--out={out}")
    assert code == 0, errors
    masks = tost.Masks.load(out)
    assert masks.kept == round(0.03 * masks.size)
    for path, mask in masks.items():
        line = next(line for line in output.splitlines() if line.startswith(f"{path} "))
        assert int(line.split()[2].replace(",", "")) == mask.sum()
        assert line.endswith("collapsed") == (not mask.any())
    assert (tmp_path / "mask.png").stat().st_size > 0
    assert "it/s" not in errors  # no progress bar where there is no terminal


def test_what_stays_dense_is_named_with_its_share(run_here, small, tmp_path):
    arguments = ("--mask=random", "--sparsity=0.9", "--dense_layers=logits", f"--out={tmp_path}/mask.npz")
    code, output, errors = run_here("tost-mask", *small, *arguments)
    assert code == 0, errors
    masks, report = tost.Masks.load(tmp_path / "mask.npz"), json.loads((tmp_path / "mask.json").read_text())
    share = masks["logits/kernel"].size / masks.size
    assert report["left_dense"] == {"logits/kernel": pytest.approx(share)}
    assert report["sparsity_of_all_kernels"] == pytest.approx(1 - masks.kept / masks.size)
    assert f"logits/kernel ({share:.1%}); sparsity of all kernels {1 - masks.kept / masks.size:.4f}" in output


def test_masks_from_torch_with_a_name_map(run_here, from_file, network, tmp_path):
    model = keras.models.load_model(network, compile=False)
    masks = tost.masks.random(model, sparsity=0.6, seed=5)
    theirs = {}
    for number, (path, mask) in enumerate(masks.items()):
        theirs[f"layer{number}.weight_mask" if path != "logits/kernel" else "head.weight"] = in_torch(path, mask)
    theirs["other"] = np.zeros((5, 7), np.uint8)
    save_file(theirs, tmp_path / "torch.safetensors")
    out = tmp_path / "mask.npz"
    arguments = (*from_file, f"--from_torch={tmp_path}/torch.safetensors", f"--out={out}")
    code, _, errors = run_here("tost-mask", *arguments)
    assert code == 2 and "torch.safetensors' cannot be imported" in errors and "1 in the file (other)" in errors
    assert not out.exists()
    del theirs["other"]
    save_file(theirs, tmp_path / "torch.safetensors")
    (tmp_path / "names.json").write_text(json.dumps({"head.weight": "logits/kernel"}))
    code, output, errors = run_here("tost-mask", *arguments, f"--name_map={tmp_path}/names.json")
    assert code == 0, errors
    assert "layer0.weight_mask -> stem/kernel\n" in output and "head.weight -> logits/kernel\n" in output
    assert not (tmp_path / "mask_weights.npz").exists() and "weights are" not in output
    found = tost.Masks.load(out)
    assert all(np.array_equal(found[path], masks[path]) for path in masks)


def test_ticket_from_torch_is_trained(run_here, from_file, network, tmp_path):
    """A whole state dict: masks, and weights that are not those in the model's file."""
    model = keras.models.load_model(network, compile=False)
    masks = tost.masks.random(model, sparsity=0.6, seed=5)
    state = {}
    for name, path in (("features.0", "stem"), ("features.3", "middle"), ("classifier", "logits")):
        layer = model.get_layer(path)
        state[f"{name}.weight_mask"] = in_torch(f"{path}/kernel", masks[f"{path}/kernel"])
        state[f"{name}.weight_orig"] = in_torch(f"{path}/kernel", 0.3 * layer.kernel.numpy())
        state[f"{name}.bias"] = layer.bias.numpy()
    for name, path in (("features.1", "norm1"), ("features.4", "norm2")):
        layer = model.get_layer(path)
        parts = {"weight": layer.gamma + 0.3, "bias": layer.beta}
        parts |= {"running_mean": layer.moving_mean, "running_var": layer.moving_variance}
        state |= {f"{name}.{part}": np.asarray(value) for part, value in parts.items()}
    state = {f"module.{name}": value for name, value in state.items()}
    save_file(state, tmp_path / "state.safetensors")
    out = tmp_path / "mask.npz"
    arguments = (*from_file, f"--from_torch={tmp_path}/state.safetensors", f"--out={out}")
    code, output, errors = run_here("tost-mask", *arguments)
    assert code == 0 and "module.features.3.weight_mask -> middle/kernel\n" in output, errors
    assert tost.Masks.load(out) == masks
    assert f"train with --mask_file={out} --initial_weights={tmp_path}/mask_weights.npz" in output
    weights = {name[5:]: value for name, value in np.load(tmp_path / "mask_weights.npz").items()}
    np.testing.assert_array_equal(weights["norm2/gamma"], np.float32(1.3))
    for path, mask in masks.items():
        kernel = model.get_layer(path.split("/")[0]).kernel.numpy()
        np.testing.assert_array_equal(weights[path], np.float32(0.3) * kernel * mask)

    run = (*(flag for flag in from_file if "rescale" not in flag), "--epochs=1", "--recipe=default")
    own = (f"--mask_file={out}", f"--initial_weights={tmp_path}/mask_weights.npz", f"--run_dir={tmp_path}/a")
    theirs = (f"--{flag}={tmp_path}/state.safetensors" for flag in ("from_torch", "initial_weights"))
    code, _, errors = run_here("tost-train", *run, *own)
    assert code == 0, errors
    code, _, errors = run_here("tost-train", *run, *theirs, f"--run_dir={tmp_path}/b")
    assert code == 0, errors
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("a", "b")]
    assert results[0]["test_loss"] == results[1]["test_loss"]
    # The file lacks what it needs: the mask is taken, and it is said that the weights are not.
    del state["module.classifier.bias"]
    save_file(state, tmp_path / "state.safetensors")
    (tmp_path / "mask_weights.npz").unlink()
    code, output, errors = run_here("tost-mask", *arguments)
    assert code == 0 and "not imported: classifier has no bias in the file, which logits/bias needs" in output, errors
    assert not (tmp_path / "mask_weights.npz").exists()


def test_lottery_ticket_is_what_training_starts_from(run_here, small_run, tmp_path):
    layers = keras.layers
    hidden = [layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(20, "relu", name="hidden")]
    network = tmp_path / "hidden.keras"
    keras.Sequential([*hidden, layers.Dense(10, name="logits")], name="hidden").save(network)
    small = [flag for flag in small_run if "dense_layers" not in flag and "--model=" not in flag]
    small.append(f"--model={network}")
    out = tmp_path / "ticket_36.npz"
    search = ("--mask=lottery", "--sparsity=0.36", "--lottery_epochs=2", "--rewind_epoch=1")
    code, output, errors = run_here("tost-mask", *small, *search, f"--out={out}")
    assert code == 0, errors
    masks, weights = tost.Masks.load(out), np.load(tmp_path / "ticket_36_weights.npz")
    assert re.search(rf"round 2 of 2: accuracy [\d.]+%, then density {masks.kept / masks.size:.4f}", output)
    assert masks.kept == round(0.64 * masks.size)
    kernel = next(weights[name] for name in weights.files if "hidden/kernel" in name)
    np.testing.assert_array_equal(kernel == 0, masks["hidden/kernel"] == 0)
    fresh = keras.models.load_model(network, compile=False).get_layer("hidden").kernel.numpy()
    assert np.any(kernel != fresh * masks["hidden/kernel"])  # not the initialisation: those of epoch 1

    run = (*(flag for flag in small if "rescale" not in flag), "--epochs=2", "--recipe=default")
    code, _, errors = run_here("tost-train", *run, *search, f"--run_dir={tmp_path}/a")
    assert code == 0, errors
    names = [
        f"--{flag}={tmp_path}/ticket_{{sparsity}}{end}.npz"
        for flag, end in (("mask_file", ""), ("initial_weights", "_weights"))
    ]
    code, _, errors = run_here(
        "tost-train", *run, "--mask=lottery", "--sparsity=0.36", *names, f"--run_dir={tmp_path}/b"
    )
    assert code == 0, errors
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("a", "b")]
    assert results[0]["test_loss"] == results[1]["test_loss"]
    assert results[0]["sparsity"] == pytest.approx(0.36, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mask=snip",), "--out='' must name the .npz file"),
        (("--mask=none", "--out=m.npz"), "--mask=none is not a mask"),
        (("--mask=none", "--from_torch=m.npz", "--out=m.npz"), "--mask=none and --from_torch=m.npz contradict"),
        (("--mask_file=a.npz", "--from_torch=t.npz", "--out=m.npz"), "--from_torch=t.npz has no effect with --mask_f"),
        (("--new_layers=logits", "--out=m.npz"), "--new_layers=logits has no effect with --mask_file=''"),
        (("--new_layers=(", "--mask_file=a.npz", "--out=m.npz"), "--new_layers='(' is not a regular expression"),
        (("--name_map=a.json", "--out=m.npz"), "--name_map=a.json has no effect with --from_torch=''"),
        (("--mask=snap", "--out=m.npz"), "unknown --mask 'snap': did you mean 'snip'?"),
        (("--from_torch=m.pt", "--out=m.npz"), "is a pickle, which is never read"),
        (("--from_torch=none.npz", "--out=m.npz"), "there is no mask file 'none.npz'"),
        (("--mask=lottery", "--lottery_epochs=3", "--rewind_epoch=3", "--out=m.npz"), "--rewind_epoch=3 must be below"),
    ],
)
def test_bad_input_is_one_sentence(run_here, from_file, arguments, words):
    code, _, errors = run_here("tost-mask", *from_file, *arguments)
    assert code == 2 and words in errors and "Traceback" not in errors
