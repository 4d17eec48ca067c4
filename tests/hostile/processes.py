"""Scripts in forked processes, which share the imports of this one, and what a test needs around them."""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest
from tqdm import tqdm

from tests.conftest import run_here


def fork(function, output: Path) -> int:
    """Run a function in a forked process, its output in a file; return the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # The lock of the bars is shared with forked processes: one killed while holding it would stop all.
        tqdm.set_lock(threading.RLock())
        status = function() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def fork_script(script: Path, words, output: Path, cwd: Path) -> int:
    """Run a script in a forked process."""

    def run():
        os.chdir(cwd)
        return run_here(script, *words, monkeypatch=pytest.MonkeyPatch())

    return fork(run, output)


def wait(child: int) -> int:
    """Wait for a process, two minutes at most; return its exit status, negative for a signal."""
    return kill_after(child, 120)


def kill_after(child: int, seconds: float, number: int = signal.SIGKILL) -> int:
    """Send a signal after some time, unless the process has ended; return its exit status.

    A process that another signal does not end within two minutes is killed.
    """
    for wait_for, then in ((seconds, number), (120, signal.SIGKILL)):
        deadline = time.monotonic() + wait_for
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(child, then)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def peak_memory(function, output: Path) -> float:
    """Return by how many megabytes the memory of a forked process grows within a function."""

    def run():
        with contextlib.suppress(Exception):
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _memory("VmRSS")
        function()
        print(f"grown {_memory('VmHWM') - before}")

    assert wait(fork(run, output)) == 0, output.read_text()
    return float(output.read_text().rpartition("grown ")[2])


def _memory(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)
