"""CPU threads of torch, and a warning on a busy machine.

torch splits each operation over its threads and waits for the slowest. Beside another busy process one of
them is always late, and the others spin: with two threads on two cores CheXNet then trains slower than with
one (benchmarks/threads.py measures it). A passive wait would cost more on a quiet machine than it saves.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

BUSY_SHARE = 0.2
"""Share of the machine's cores that other processes take before the warning is printed."""
_INTERVAL = 20.0  # seconds over which the share is measured
_FIRST_INTERVAL = 3.0
_STAT = Path("/proc/stat")


def use_threads(count: int) -> int:
    """Set the number of torch's threads and return it.

    Args:
        count: 1 or more; 0 keeps torch's own choice, which is all cores or OMP_NUM_THREADS.
    """
    if count:
        torch.set_num_threads(count)
    return torch.get_num_threads()


class CpuTimes(NamedTuple):
    """Seconds of processor time since the machine started, summed over its cores."""

    all: float
    idle: float
    own: float
    """Of this process and its finished children."""


def cpu_times() -> CpuTimes | None:
    """Return the processor times up to now; None where the system does not tell (only Linux does)."""
    try:
        ticks = [int(value) for value in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    second = os.sysconf("SC_CLK_TCK")
    own = sum(os.times()[:4])
    return CpuTimes(sum(ticks) / second, (ticks[3] + ticks[4]) / second, own)


def share_of_others(before: CpuTimes, after: CpuTimes) -> float:
    """Return the share of all processor time between two moments that other processes took, 0 to 1."""
    passed = after.all - before.all
    others = passed - (after.idle - before.idle) - (after.own - before.own)
    return min(max(others / passed, 0.0), 1.0) if passed > 0 else 0.0


@contextmanager
def warn_when_busy(active: bool = True) -> Iterator[None]:
    """Print one line on stderr when other processes take a good part of the machine while the block runs.

    Args:
        active: False does nothing: on a GPU, with one thread, or in processes that do not print.
    """
    if not active or cpu_times() is None or torch.get_num_threads() == 1:
        yield
        return
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(ended,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(ended: threading.Event) -> None:
    before, interval = cpu_times(), _FIRST_INTERVAL
    while not ended.wait(interval):
        after = cpu_times()
        share = share_of_others(before, after)
        if share >= BUSY_SHARE:
            tqdm.write(_warning(share), file=sys.stderr)
            return
        before, interval = after, _INTERVAL


def _warning(share: float) -> str:
    return (
        f"warning: other processes take {share:.0%} of this machine's cores, and torch's "
        f"{torch.get_num_threads()} threads wait for one another. With --threads 1 this step may be several "
        "times as fast now; benchmarks/README.md has the figures."
    )


def spin(seconds: float) -> None:
    """Keep one core busy: what tests and the benchmark run beside torch."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
