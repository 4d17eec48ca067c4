"""The README's tree of the package, from the first lines of the docstrings."""

import ast
from pathlib import Path

from cxr14.settings import ROOT

# In the order of the floors: each imports only from those before it.
_WINGS = (
    "data",
    "models",
    "runtime",
    "phantom",
    "evaluation",
    "training",
    "explanation",
    "report",
    "deployment",
)
_BESIDE_THE_WINGS = (
    "findings",
    "settings",
    "data_settings",
    "deployment_settings",
    "script",
    "path_checks",
    "processes",
    "errors",
    "console",
    "files",
    "records",
)


def tree() -> str:
    """Return a line for each module of the package: its name and the first line of its docstring."""
    package = ROOT / "cxr14"
    lines = ["```", "cxr14/", *(_line_of(package / f"{name}.py", 1) for name in _BESIDE_THE_WINGS)]
    for wing in filter(lambda wing: (package / wing).is_dir(), _WINGS):
        lines += ["", *_lines_of(package / wing, 1)]
    return "\n".join([*lines, "```", ""])


def _lines_of(folder: Path, depth: int) -> list[str]:
    lines = [_line_of(folder / "__init__.py", depth)]
    lines += [_line_of(path, depth + 1) for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    for below in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines += _lines_of(below, depth + 1)
    return lines


def _line_of(path: Path, depth: int) -> str:
    name = f"{path.parent.name}/" if path.name == "__init__.py" else path.name
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return f"{'  ' * depth + name:<29}  {docstring.splitlines()[0].removesuffix('.')}"
