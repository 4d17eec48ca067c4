"""Speed and size of the report: eleven simulated runs on a list as large as NIH's official test list.

    python -m benchmarks.report

Writes benchmarks/results/report-cpu.json; under a minute on 2 cores.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import tyro

from benchmarks.common import Settings, keep_result
from cxr14.settings import ROOT
from tests.simulated_runs import NETWORKS, save_study

RADIOGRAPHS = 25_596
GOAL_SECONDS = 60


def main(settings: Settings) -> None:
    """Measure, print and save."""
    with tempfile.TemporaryDirectory() as folder:
        save_study(Path(folder), radiographs=RADIOGRAPHS)
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "compare-results.py", "--results-dir", folder],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        figures = {
            "runs": 2 * len(NETWORKS) + 1,
            "radiographs, each for test and for validation": RADIOGRAPHS,
            "seconds, start of Python included": time.perf_counter() - started,
            "goal, seconds": GOAL_SECONDS,
            "report.html, MB": (Path(folder) / "report.html").stat().st_size / 1e6,
            "peak memory, GiB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20,
        }
    keep_result(settings, "report", torch.device("cpu"), figures)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
