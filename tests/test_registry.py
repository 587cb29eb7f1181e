import pytest

from tost_tf.errors import TostError, unknown_name
from tost_tf.registry import Registry


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
    with pytest.raises(TostError, match="'root' exists already"):
        registry.register("root", abs)
