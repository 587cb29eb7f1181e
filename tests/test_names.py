"""The public names: what editors see is what there is."""

import ast
from pathlib import Path

import pytest

import tost_tf as tost

SOURCE = Path(tost.__file__)


def for_editors(source=SOURCE):
    """Name -> what it is imported from, of the imports that only type checkers see."""
    blocks = [node for node in ast.parse(source.read_text()).body if isinstance(node, ast.If)]
    (block,) = [node for node in blocks if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"]
    return {alias.asname or alias.name: node.module for node in block.body for alias in node.names}


def test_editors_see_what_there_is():
    seen = for_editors()
    assert sorted(seen) == sorted(tost.__all__) and SOURCE.with_name("py.typed").exists()
    lazy = tost._EXPORTED | {name: "tost_tf" for name in tost._PACKAGES}
    assert seen == lazy
    for name in tost.__all__:
        assert name in dir(tost) and getattr(tost, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Sparsify'"):
        tost.Sparsify  # noqa: B018


def test_editors_see_the_analyses():
    seen = for_editors(Path(tost.analysis.__file__))
    assert sorted(tost.analysis.__all__) == sorted(seen)
    assert seen == {name: f"tost_tf.analysis.{module}" for name, (module, _) in tost.analysis._EXPORTED.items()}
    with pytest.raises(AttributeError, match="has no attribute 'hessian_of'"):
        tost.analysis.hessian_of  # noqa: B018
