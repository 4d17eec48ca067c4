"""The rules of the package: which wing may import which, what does without torch, what the README lists."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from cxr14.settings import ROOT
from docs import tree

PACKAGE = ROOT / "cxr14"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A wing imports wings of lower floors only; "" stands for the modules beside the wings.
FLOORS = (
    {""},
    {"data"},
    {"models", "runtime", "phantom"},
    {"evaluation"},
    {"training"},
    {"explanation", "report", "deployment"},
)
FLOOR = {wing: number for number, wings in enumerate(FLOORS) for wing in wings}

TORCH = {"torch", "torchvision", "timm", "thop", "safetensors", "pytorch_grad_cam"}
MAY_IMPORT_TORCH = (
    "cxr14.data.augment",
    "cxr14.data.loader",
    "cxr14.models",
    "cxr14.runtime",
    "cxr14.evaluation.command",
    "cxr14.evaluation.inference",
    "cxr14.evaluation.verify",
    "cxr14.training",
    "cxr14.explanation.command",
    "cxr14.explanation.heat_maps",
    "cxr14.deployment.export",
    "cxr14.deployment.hub",
)
WITHOUT_TORCH = [name for name in MODULES if not name.startswith(MAY_IMPORT_TORCH)]
NUMBERED = sorted(path for path in ROOT.glob("[0-9]*-*") if path.is_dir())
LONGEST = 300
LONGEST_FIRST_LINE = 80


def imports_of(path: Path) -> set[str]:
    """Return the full names of everything that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(name: str) -> str | None:
    """Return the module that holds an imported name: cxr14.files for cxr14.files.atomic_write."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


GRAPH = {
    module: {target for name in imports_of(path) if (target := module_of(name)) and target != "cxr14"}
    for module, path in MODULES.items()
}


def wing_of(module: str) -> str:
    """Return the wing of a module; "" for those beside the wings."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


def reaches(module: str) -> set[str]:
    """Return all modules that importing one of them imports, packages on the way included."""
    found, open_ends = set(), [module]
    while open_ends:
        name = open_ends.pop()
        if name in found or name not in GRAPH:
            continue
        found.add(name)
        open_ends += [*GRAPH[name], name.rpartition(".")[0]]
    return found


def test_every_wing_has_a_floor():
    wings = {wing_of(module) for module in MODULES}
    assert wings <= FLOOR.keys(), "give each new wing a floor"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_lower_floors_only(module):
    wing = wing_of(module)
    for target in GRAPH[module]:
        other = wing_of(target)
        allowed = other == wing or FLOOR[other] < FLOOR[wing]
        assert allowed, f"{module} imports {target}, which is not on a lower floor"


def test_no_circle_of_imports():
    def without_packages(targets: set[str]) -> set[str]:
        return {target for target in targets if MODULES[target].name != "__init__.py"}

    list(TopologicalSorter({module: without_packages(GRAPH[module]) for module in MODULES}).static_order())


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_torch_is_not_imported(module):
    for reached in reaches(module):
        heavy = {name.partition(".")[0] for name in imports_of(MODULES[reached])} & TORCH
        assert not heavy, f"{module} imports {reached}, which imports {heavy}"


def test_torch_is_not_loaded():
    """Nor by other packages, whose imports the test above does not read."""
    code = f"import sys, {', '.join(WITHOUT_TORCH)}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_scripts_import_a_command():
    for module, targets in GRAPH.items():
        assert not [name for name in targets if name.endswith(".command")], f"{module} imports a command"


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_package_has_a_docstring_and_no_other_code(module):
    body = ast.parse(MODULES[module].read_text()).body
    assert isinstance(body[0], ast.Expr)
    if module not in ("cxr14.models", "cxr14.phantom.signs"):  # one registers with timm, one holds a table
        assert len(body) == 1


@pytest.mark.parametrize("folder", NUMBERED, ids=lambda folder: folder.name)
def test_numbered_folders_stand_alone(folder):
    for path in folder.glob("*.py"):
        roots = {name.partition(".")[0] for name in imports_of(path)}
        local = {other.stem for other in folder.glob("*.py")}
        assert roots & {"model"} <= local
        if path.name == "model.py":
            inside = [name for name in imports_of(path) if name.startswith("cxr14")]
            assert roots - set(sys.stdlib_module_names) <= {"torch", "timm", "cxr14"}
            assert all(name.startswith("cxr14.models") for name in inside)


BESIDE_THE_PACKAGE = [path for name in ("benchmarks", "docs") for path in sorted((ROOT / name).rglob("*.py"))]


@pytest.mark.parametrize(
    "path", [*MODULES.values(), *BESIDE_THE_PACKAGE], ids=lambda path: str(path.relative_to(ROOT))
)
def test_module_has_at_most_300_lines(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST, f"{path} has {lines} lines: it holds two ideas"


SCRIPTS = [
    path
    for pattern in ("[0-9]*-*/*.py", "ChestX-ray14/*.py", "*.py")
    for path in sorted(ROOT.glob(pattern))
    if path.name not in ("model.py", "setup.py")
]


def test_help_needs_no_torch():
    """What loads torch, pandas or pillow is imported after the flags are read: --help takes 0.2 s."""
    code = """if True:
        import runpy, sys
        scripts = sys.argv[1:]
        for script in scripts:
            sys.argv = [script, "--help"]
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as end:
                assert not end.code, script
            heavy = {"torch", "timm", "pandas", "matplotlib", "numpy"} & set(sys.modules)
            print(script, *heavy, file=sys.stderr)
    """
    words = [sys.executable, "-c", code, *map(str, SCRIPTS)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [str(script) for script in SCRIPTS]
    assert done.stdout.count("usage:") == len(SCRIPTS)


@pytest.mark.parametrize("module", MODULES)
def test_the_first_line_of_a_docstring_fits_the_readme(module):
    docstring = ast.get_docstring(ast.parse(MODULES[module].read_text()))
    assert len(docstring.splitlines()[0]) <= LONGEST_FIRST_LINE


def test_the_readme_lists_every_module():
    listed = tree.tree()
    names = [path.name if path.name != "__init__.py" else f"{path.parent.name}/" for path in MODULES.values()]
    assert sorted(re.findall(r"^ *(\S+\.py|\w+/)", listed, re.MULTILINE)) == sorted(names)
