"""Scripts in the tests' own process, which spares a second import of torch and its 3 seconds."""

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout

import pytest

from cxr14.settings import ROOT
from tests.test_scripts import run_here


def run_script(script, *words, cwd=ROOT):
    """Run a script as `conftest.run_python` does, but in this process; return the completed process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.chdir(cwd)
        status = run_here(cwd / script, *words, monkeypatch=patch)
    return subprocess.CompletedProcess([script, *words], status or 0, stdout.getvalue(), stderr.getvalue())
