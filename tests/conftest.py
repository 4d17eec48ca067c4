"""Shared fixtures: real radiographs where they are at hand, prepared phantoms, scripts as processes."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from cxr14.settings import ROOT
from tests.browser import CHROMIUM, NO_CHROMIUM

# Before torch is imported. The workers of test.sh have a core each, and a process that has used more threads
# than one cannot be forked: the child waits for them for ever.
os.environ["OMP_NUM_THREADS"] = "1"

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
"""Mark of a test, or of a module, that opens a page."""

NIH_MINI = ROOT.parent / "shared" / "nih-mini"


def run_python(*words, cwd=ROOT, **environment):
    """Run a script in a process of its own and return the completed process."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
        capture_output=True,
        text=True,
    )


def run_here(script, *words, monkeypatch):
    """Run a script in this process, which spares the import of torch; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, words)])
    monkeypatch.syspath_prepend(script.parent)
    sys.modules.pop("model", None)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as ended:
        return ended.code
    finally:
        sys.modules.pop("model", None)
    return 0


@contextmanager
def lock_held(path):
    """Hold a lock in another process within the block."""
    code = (
        "import sys; from pathlib import Path; from cxr14.files import exclusive\n"
        "with exclusive(Path(sys.argv[1]), ''): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.stdin.close()


def pytest_configure():
    """Restore Ctrl-C: a shell starts background jobs with SIGINT ignored, and children inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Run the slow tests first, so that no worker is left with a long file at the end.

    The very first ones fork this process, which is safe only before other tests have started threads in it.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    items.sort(key=lambda item: item.get_closest_marker("forks") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Give each test, and the fixtures made for it, the same initial weights in any order and any process."""
    import torch  # here, because OMP_NUM_THREADS is set above, after the imports

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def nih_mini() -> Path:
    """The folder of 680 real radiographs, as NIH ships them."""
    if not NIH_MINI.is_dir():
        pytest.skip(f"the real radiographs are not at {NIH_MINI}")
    return NIH_MINI


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """A prepared set of 64 synthetic radiographs of 73 px: images/ and labels/."""
    folder = tmp_path_factory.mktemp("phantoms")
    for words in (
        ("ChestX-ray14/make-phantoms.py", "--count", 64, "--size", 73, "--out", folder / "source"),
        ("ChestX-ray14/prepare.py", "--source", folder / "source", "--out", folder, "--size", 73),
    ):
        made = run_python(*words)
        assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """A folder with the package as `pip install` of the repository leaves it, without a clone."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # a build leaves files in the folder that it builds from
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    without = shutil.ignore_patterns("__pycache__", "*.pth", "*.csv")
    for path in (ROOT / "cxr14", *ROOT.glob("[0-9]*-*")):
        shutil.copytree(path, source / path.name, ignore=without)
    words = ("pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--quiet")
    made = run_python("-m", *words, "--target", folder / "packages", source)
    assert made.returncode == 0, made.stderr
    shutil.rmtree(source)
    return folder / "packages"
