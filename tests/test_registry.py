import pytest

import tost_tf as tost
from tost_tf.errors import TostError, unknown_name
from tost_tf.registry import REGISTRIES, Registry


def test_entry_is_imported_when_used():
    registry = Registry("function", {"root": "math:sqrt", "broken": "no.such.module:thing"})
    assert registry["root"](49) == 7
    assert "broken" in registry and "other" not in registry
    assert list(registry) == ["root", "broken"] and len(registry) == 2
    with pytest.raises(ModuleNotFoundError):
        registry["broken"]


def test_unknown_name_gives_the_nearest_and_all():
    with pytest.raises(TostError, match=r"unknown fruit 'aple': did you mean 'apple'\? known ones are apple, pear"):
        Registry("fruit", {"pear": "a:b", "apple": "a:b"})["aple"]
    assert "did you mean" not in str(unknown_name("fruit", "zzz", ["apple"]))


def test_registered_function_is_found_and_no_name_is_taken_twice():
    registry = Registry("function", {"root": "math:sqrt"})
    registry.register("double", lambda x: 2 * x)
    assert registry["double"](3) == 6
    with pytest.raises(TostError, match="'root' already exists"):
        registry.register("root", abs)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_name_of_the_project_leads_to_a_value(kind):
    for name in REGISTRIES[kind]:
        assert REGISTRIES[kind][name] is not None


def test_value_is_there_as_long_as_the_block_lasts():
    registry = Registry("function", {"root": "math:sqrt"})
    with registry.temporarily("double", len), registry.temporarily("root", abs):
        assert registry["double"]([5, 7]) == 2 and registry["root"](-3) == 3
    assert list(registry) == ["root"] and registry["root"](49) == 7


def test_things_of_ones_own_are_registered_by_kind():
    with pytest.raises(TostError, match="unknown kind 'masks': did you mean 'mask'"):
        tost.register("masks", "mine", len)
    with pytest.raises(TostError, match="the mask 'snip' already exists"):
        tost.register("mask", "snip", len)
