"""Kinds of radiographs: which kind a list is of, and that the words for them stand in one module."""

import ast

import pytest

from cxr14.data.kinds import KINDS, kind_of
from cxr14.settings import ROOT


@pytest.mark.parametrize(
    "names, kind",
    [
        (["00000061_012.png"] * 999, "tiny"),
        (["00000061_012.png"] * 1000, "real"),
        (["00000061_012.png"] * 1000 + ["synthetic_00000001_000.png"], "synthetic"),
    ],
)
def test_kind_depends_on_prefix_and_length(names, kind):
    assert kind_of(names) == kind


def test_words_for_each_kind():
    synthetic, tiny, real = (KINDS[name] for name in ("synthetic", "tiny", "real"))
    assert [kind.mark(25596) for kind in (synthetic, tiny, real)] == [
        "SYNTHETIC radiographs",
        "TINY list of 25,596 radiographs",
        "25,596 radiographs",
    ]
    assert synthetic.counted(2000) == "2,000 synthetic radiographs"
    assert "tiny" in tiny.counted(60) and real.counted(60) == "60 radiographs"
    assert not (real.label or real.opening or real.limit or real.warning)


def test_no_other_module_has_words_for_kinds():
    for path in sorted((ROOT / "cxr14").rglob("*.py")):
        constants = [
            node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
        ]
        assert path.name == "kinds.py" or not {"tiny", "synthetic"} & set(constants), path
