import numpy as np
import pytest

from tost_tf.errors import TostError
from tost_tf.masks.masks import Masks


@pytest.fixture
def masks() -> Masks:
    return Masks({"a/kernel": np.array([[1, 0, 0], [0, 1, 1]]), "b/c/kernel": np.zeros((2, 2), bool)})


def test_counts_by_hand(masks):
    assert (masks.size, masks.kept, len(masks)) == (10, 3, 2)
    assert masks.sparsity == pytest.approx(0.7)
    assert masks.layer_sparsity == {"a/kernel": 0.5, "b/c/kernel": 1.0}
    assert masks.collapsed_layers == ["b/c/kernel"]
    assert repr(masks) == "Masks(2 layers, 3 of 10 weights kept, sparsity 0.7000)"


def test_masks_cannot_be_changed(masks):
    with pytest.raises(ValueError, match="read-only"):
        masks["a/kernel"][0, 0] = 0


def test_saved_and_loaded(masks, tmp_path):
    masks.save(tmp_path / "mask.npz")
    loaded = Masks.load(tmp_path / "mask.npz")
    assert list(loaded) == list(masks)
    for path, mask in masks.items():
        np.testing.assert_array_equal(loaded[path], mask)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mask.npz"]


def test_all_wrong_values_are_named_together():
    wrong = {f"layer{number}/kernel": np.array([1, 0.5]) for number in range(13)} | {"fine": np.ones(2)}
    with pytest.raises(TostError, match=r"layer0/kernel holds .*0\.5.*layer9/kernel.*and 3 more"):
        Masks(wrong)
    for values in ([1, 2], [0, np.nan], ["1"], []):
        with pytest.raises(TostError):
            Masks({"a": np.array(values)})
    with pytest.raises(TostError, match="needs at least one weight"):
        Masks({})


def test_all_mismatches_are_named_together(masks):
    shapes = {"a/kernel": (3, 2), "new/kernel": (4,)}
    with pytest.raises(TostError) as error:
        masks.require_match(shapes, "the model 'm'")
    assert str(error.value) == (
        "the mask does not fit the model 'm': new/kernel is missing; b/c/kernel is not a prunable weight of the "
        "model 'm'; a/kernel has shape [2, 3] instead of [3, 2]"
    )
    masks.require_match({"a/kernel": (2, 3), "b/c/kernel": (2, 2)}, "the model 'm'")


def test_files_that_are_not_masks_are_refused(masks, tmp_path):
    with pytest.raises(TostError, match="there is no mask file"):
        Masks.load(tmp_path / "none.npz")
    with pytest.raises(TostError, match=r"is an \.npz file, got the name"):
        masks.save(tmp_path / "mask.pkl")
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "single.npz.npy", np.ones(3))
    np.savez(tmp_path / "objects.npz", a=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "values.npz", a=np.array([3]))
    masks.save(tmp_path / "cut.npz")
    whole = (tmp_path / "cut.npz").read_bytes()
    for name in ("text.npz", "single.npz.npy", "objects.npz", "values.npz"):
        with pytest.raises(TostError, match="cannot be read as a mask file"):
            Masks.load(tmp_path / name)
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(TostError, match="cannot be read as a mask file"):
            Masks.load(tmp_path / "cut.npz")


def test_failed_save_leaves_the_earlier_file(masks, tmp_path, monkeypatch):
    masks.save(tmp_path / "mask.npz")
    before = (tmp_path / "mask.npz").read_bytes()

    def half(file, **arrays):  # in place of NumPy's
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(OSError, match="disk full"):
        masks.save(tmp_path / "mask.npz")
    assert (tmp_path / "mask.npz").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["mask.npz"]


def test_shuffled_masks_keep_their_densities(masks):
    large = Masks({"a": np.arange(300).reshape(10, 30) % 7 == 0, "b": np.arange(40) < 4})
    shuffled, again, other = (large.shuffled(seed) for seed in (1, 1, 2))
    assert shuffled.layer_sparsity == large.layer_sparsity
    for path, mask in large.items():
        assert np.any(shuffled[path] != mask) and shuffled[path].shape == mask.shape
        np.testing.assert_array_equal(shuffled[path], again[path])
        assert np.any(shuffled[path] != other[path])


def test_safetensors_are_read_and_pickles_never(masks, tmp_path):
    from safetensors.numpy import save_file

    save_file(dict(masks), tmp_path / "mask.safetensors")
    loaded = Masks.load(tmp_path / "mask.safetensors")
    assert set(loaded) == set(masks) and np.array_equal(loaded["a/kernel"], masks["a/kernel"])
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "mask.safetensors").read_bytes()[:-3])
    with pytest.raises(TostError, match="cannot be read as a mask file"):
        Masks.load(tmp_path / "cut.safetensors")
    for name in ("mask.pt", "mask.pth", "mask.pkl"):
        (tmp_path / name).write_bytes(b"\x80\x04.")
        with pytest.raises(TostError, match=r"is a pickle, which is never read: convert it .*save_file"):
            Masks.load(tmp_path / name)


def test_equality(masks):
    assert masks == Masks(dict(masks)) and masks != Masks({"a/kernel": masks["a/kernel"]})
    assert masks != Masks(dict(masks) | {"a/kernel": 1 - masks["a/kernel"]}) and masks != 3


def test_masks_of_some_layers_are_completed_if_the_others_are_left_dense():
    shapes = {"stem/kernel": (2, 3), "block/conv/kernel": (3,), "logits/kernel": (2,)}
    masks = Masks({"block/conv/kernel": [1, 0, 0]})
    whole = masks.completed(shapes, "^(stem|logits)$")
    whole.require_match(shapes, "the model")
    assert {path: int(mask.sum()) for path, mask in whole.items()} == {
        "block/conv/kernel": 1,
        "stem/kernel": 6,
        "logits/kernel": 2,
    }
    assert whole.completed(shapes, ".") is whole
    with pytest.raises(TostError, match=r"logits/kernel is missing \(layers left dense may be missing: name them with"):
        masks.completed(shapes, "stem").require_match(shapes, "the model")


def test_what_is_no_mapping_of_arrays(masks):
    assert Masks({path: masks[path] for path in reversed(list(masks))}) == masks
    for wrong, message in (
        ({"a": [[1, 0], [1]]}, "the mask a is not an array: its rows differ in length"),
        ({"a": None}, "a holds None"),
        ({1: np.ones(3)}, "the path of a weight as its name, got 1"),
    ):
        with pytest.raises(TostError, match=message):
            Masks(wrong)
    with pytest.raises(TostError, match=r"layers='\(' is not a regular expression"):
        masks.without("(")
