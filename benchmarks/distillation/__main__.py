"""Run the experiment, unattended and resumable: each run leaves one JSON file.

    python -m benchmarks.distillation --stage map --jobs 2
    python -m benchmarks.distillation --stage map --list        # what would be run

The runs of a stage that have a JSON file are not repeated; an interrupted training resumes. With --jobs 2 two
trainings run side by side with one thread each, which on two cores is faster than one with two.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from benchmarks.distillation import data
from benchmarks.distillation.stages import STAGES
from cxr14 import script
from cxr14.script import PositiveInt, ScriptSettings
from cxr14.settings import ROOT


@dataclass(kw_only=True)
class ExperimentSettings(ScriptSettings):
    """The experiment on distillation."""

    stage: Literal["map"] = "map"
    """map: each network alone, over regimes: where is a teacher better than the student."""
    work: Path = ROOT / "benchmarks" / "work"
    """Folder for radiographs, checkpoints and logits; not committed."""
    results: Path = ROOT / "benchmarks" / "results" / "distillation"
    """Folder for the JSON files."""
    jobs: PositiveInt = 1
    """Runs side by side, each with its share of the cores."""
    list: bool = False
    """Print the runs of the stage and which of them are finished, and stop."""
    only: str | None = None
    """Name of one run: train and score that one alone."""


def main(settings: ExperimentSettings) -> None:
    """Run what is left of a stage."""
    from benchmarks.distillation import runs

    planned = STAGES[settings.stage]()
    if settings.only:
        (run,) = [one for one in planned if one.name == settings.only]
        runs.train(run, settings.work)
        runs.score(run, settings.work, settings.results)
        return
    left = [run for run in planned if not (settings.results / f"{run.name}.json").is_file()]
    if settings.list:
        for run in planned:
            print("left" if run in left else "done", run.name)
        return
    for regime in {run.regime.radiographs: run.regime for run in left}.values():
        data.prepare(regime, settings.work)  # once, before runs that share the radiographs
    threads = max(1, len(os.sched_getaffinity(0)) // settings.jobs)
    began = time.monotonic()
    bar = tqdm(total=len(left), unit="run", desc=settings.stage)
    with ThreadPoolExecutor(settings.jobs) as pool, bar:
        futures = [pool.submit(_in_a_process, run.name, settings, threads) for run in left]
        for future in futures:
            future.result()
            bar.update()
    print(f"{len(left)} runs in {(time.monotonic() - began) / 60:.0f} minutes; results in {settings.results}")


def _in_a_process(name: str, settings: ExperimentSettings, threads: int) -> None:
    words = [sys.executable, "-m", "benchmarks.distillation", "--stage", settings.stage, "--only", name]
    words += ["--work", str(settings.work), "--results", str(settings.results)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    subprocess.run(words, check=True, cwd=ROOT, env=environment)


if __name__ == "__main__":
    with script.run(ExperimentSettings, {"__file__": __file__, "__doc__": __doc__}) as settings:
        main(settings)
