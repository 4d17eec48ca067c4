"""docs/security.md: every line names a test that exists."""

import ast
import re

import pytest

from cxr14.settings import ROOT

LINES = [
    line
    for line in (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("| what", "| ---"))
]
NAMED = sorted({name for line in LINES for name in re.findall(r"`(tests/[^`]+)`", line)})


def test_there_are_lines():
    assert len(LINES) > 20


@pytest.mark.parametrize("line", LINES)
def test_line_names_a_protection_and_a_test(line):
    _, protection, tests = (cell.strip() for cell in line.strip("|").split("|"))
    assert protection
    assert re.fullmatch(r"`tests/\S+\.py::test_\w+`(, `tests/\S+\.py::test_\w+`)*", tests)


@pytest.mark.parametrize("name", NAMED)
def test_named_test_exists(name):
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
