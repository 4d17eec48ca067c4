"""What a terminal, a pipe, a signal or a full disk does to a script, in processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from cxr14.settings import ROOT
from tests.hostile.harness import SCRIPTS

SCRIPT = """
from cxr14 import script
from cxr14.settings import ParaTestSettings

if __name__ == "__main__":
    with script.run(ParaTestSettings, globals()) as settings:
        from pathlib import Path
        import os, signal, sys, time
        {body}
        Path("finished").touch()
"""


def start(tmp_path, body, *, shell=None, **environment):
    """Run a script of a few lines; return the completed process."""
    path = tmp_path / "small.py"
    path.write_text(SCRIPT.format(body=textwrap.indent(textwrap.dedent(body), " " * 8).strip()))
    command = f"{sys.executable} small.py {shell or ''}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
    )


def test_a_closed_pipe_does_not_stop_the_work(tmp_path):
    body = "for i in range(50_000): print('line', i, flush=i % 100 == 0)"
    done = start(tmp_path, body, shell="| head -1")
    assert (done.stdout, done.stderr, done.returncode) == ("line 0\n", "", 0)
    assert (tmp_path / "finished").exists()


def test_a_closed_pipe_for_the_messages_does_not_stop_the_work(tmp_path):
    body = "for i in range(50_000): print('line', i, file=sys.stderr)"
    done = start(tmp_path, body, shell="2>&1 >/dev/null | head -1")
    assert (done.stdout, done.returncode) == ("line 0\n", 0)
    assert (tmp_path / "finished").exists()


def test_a_full_disk_behind_the_output_does_not_stop_the_work(tmp_path):
    done = start(tmp_path, "print('x' * 100_000)", shell="> /dev/full")
    assert done.returncode == 0
    assert done.stderr == "warning: the output is lost from here on (No space left on device).\n"
    assert (tmp_path / "finished").exists()


@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-"])
def test_a_missing_stream_does_not_stop_the_work(shell, tmp_path):
    done = start(tmp_path, "print('out'); print('err', file=sys.stderr)", shell=shell)
    assert (done.returncode, done.stderr in ("", "err\n")) == (0, True)
    assert (tmp_path / "finished").exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_terminal_without_unicode_shows_other_characters(encoding, tmp_path):
    body = "print('0.8 \\u2013 0.9 \\u2500\\u2500 \\u03b1 \\udcff'); sys.exit('no such f\\u00efle \\u2026')"
    done = start(tmp_path, body, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("0.8 ")
    assert "udcff" in done.stdout


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("open('nowhere/x')", 2, "error: nowhere/x: No such file or directory."),
        ("os.mkdir('small.py')", 2, "error: small.py: File exists."),
        ("raise OSError(28, 'No space left on device')", 2, "error: No space left on device."),
        ("import nowhere", 2, "error: the Python module nowhere is missing in "),
        ("raise MemoryError", 2, "error: the memory is not large enough"),
        ("bytearray(1 << 60)", 2, "error: the memory is not large enough"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", 130, "stopped."),
        (
            "from cxr14.errors import InputError; raise InputError('a\\nb \\x1b[31m')",
            2,
            r"error: a b \x1b[31m",
        ),
    ],
)
def test_an_error_is_one_line(body, status, message, tmp_path):
    done = start(tmp_path, body)
    assert done.returncode == status
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path):
    done = start(tmp_path, "1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_a_missing_module_of_the_package_keeps_its_traceback(tmp_path):
    done = start(tmp_path, "import cxr14.nowhere")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_development_mode_keeps_the_traceback_of_an_os_error(tmp_path):
    done = start(tmp_path, "open('nowhere/x')", PYTHONDEVMODE="1")
    assert "Traceback" in done.stderr


_IMPORTED = {
    "train": "timm",
    "distil": "torch",
    "test": "torch",
    "para-test": "torch",
    "explain": "numpy",
    "export": "torch",
    "predict": "onnxruntime",
    "compare": "matplotlib",
    "verify": "numpy",
    "prepare": "PIL.Image",
    "download": "huggingface_hub",
    "make-phantoms": "threadpoolctl",
}
"""A module that each script imports."""

_CTRL_C = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["CTRL_C_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("script", "module"), _IMPORTED.items())
def test_ctrl_c_while_modules_are_imported_is_one_line(script, module, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(_CTRL_C)
    done = subprocess.run(
        [sys.executable, SCRIPTS[script]],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "CTRL_C_AT": module},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stderr) == (130, "stopped.\n")


def test_a_plotting_window_that_matplotlib_no_longer_knows_does_not_stop_a_script(tmp_path):
    done = start(tmp_path, "import matplotlib", MPLBACKEND="Qt4Agg")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "finished").exists()
