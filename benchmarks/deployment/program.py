"""Time and memory of predict.py as a process: one file, and a folder."""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Protocol

from cxr14.settings import ROOT

SCRIPT = ROOT / "7-Using-EEEA-Net-C2" / "predict.py"
# The peak comes from Linux: getrusage would count the memory of the process that started this one.
_WITH_PEAK = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line), file=sys.stderr)
"""


class ProgramSettings(Protocol):
    """The settings of the benchmark that this module reads."""

    files: Path
    folder_count: int
    runs: int


def measure(settings: ProgramSettings, model: Path, work: Path) -> dict[str, object]:
    """Start predict.py on one file several times, and on a folder."""
    files = sorted(settings.files.glob("*.png"))
    runs = [_run(model, files[0]) for _ in range(settings.runs)]
    folder = work / "folder"
    folder.mkdir()
    for number in range(settings.folder_count):
        shutil.copy(files[number % len(files)], folder / f"{number:05d}.png")
    whole = _run(model, folder, "--csv", work / "folder.csv")
    answered = len((work / "folder.csv").read_text().splitlines()) - 1
    assert answered == settings.folder_count
    return {
        "one file, seconds, median": statistics.median(run.seconds for run in runs),
        "one file, seconds, least": min(run.seconds for run in runs),
        "one file, seconds of the processor, median": statistics.median(run.processor for run in runs),
        "one file, MB": max(run.memory for run in runs),
        "folder, radiographs": answered,
        "folder, radiographs a second": answered / whole.seconds,
        "folder, radiographs a second of the processor": answered / whole.processor,
        "folder, MB": whole.memory,
    }


class _Run(NamedTuple):
    seconds: float
    processor: float
    memory: float
    """The most that it had, in MB."""


def _run(model: Path, *words: object) -> _Run:
    command = [sys.executable, "-c", _WITH_PEAK, SCRIPT, *words, "--model-path", model]
    start, before = time.perf_counter(), _processor_of_children()
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, processor = time.perf_counter() - start, _processor_of_children() - before
    return _Run(seconds, processor, int(done.stderr.splitlines()[-1]) / 1e3)


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
