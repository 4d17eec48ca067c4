"""Run the experiment, unattended and resumable: each run leaves one JSON file.

    python -m benchmarks.distillation --stage map --jobs 2
    python -m benchmarks.distillation --stage screening --jobs 2 --list  # what would be run
    python -m benchmarks.distillation --stage compare                    # differences between the arms
    python -m benchmarks.distillation --stage draw                       # the figures of docs/distillation.md
    python -m docs.tables                                                # tables of docs/distillation.md

The runs of a stage that have a JSON file are not repeated; an interrupted training resumes. With --jobs 2
two trainings run side by side with one thread each, which on two cores is faster than one with two; on a GPU
several students fit side by side. --budget gpu adds the regimes that take hours of a GPU.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from benchmarks.distillation import data, runs
from benchmarks.distillation.runs import Run
from benchmarks.distillation.stages import STAGES, Budget
from cxr14 import script
from cxr14.errors import InputError
from cxr14.script import PositiveInt, ScriptSettings
from cxr14.settings import ROOT

_Stage = Literal["map", "screening", "several", "maps", "rates", "finalists", "longer", "compare", "draw"]


@dataclass(kw_only=True)
class ExperimentSettings(ScriptSettings):
    """The experiment on distillation."""

    stage: _Stage = "map"
    """map: each network alone, over regimes: where is a teacher better than the student; screening: most
    arms, two seeds; several: several teachers and a sharper one; maps: class activation maps; rates: several
    learning rates; finalists: five seeds; longer: the same for twice the epochs; compare: differences between
    the arms; draw: the figures of docs/distillation.md."""
    budget: Budget = "cores"
    """cores: what two cores do within hours; gpu: all regimes."""
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
    if settings.stage == "compare":
        from benchmarks.distillation import differences

        print(f"written: {differences.write(settings.work, settings.results)}")
        return
    if settings.stage == "draw":
        from benchmarks.distillation import figures

        print(f"written: {figures.write(settings.results, ROOT / 'docs' / 'distillation.png')}")
        screening = ROOT / "docs" / "distillation-screening.png"
        print(f"written: {figures.write_screening(settings.results, screening)}")
        return
    planned = with_teachers(STAGES[settings.stage](settings.budget))
    if settings.only:
        _run_one(planned, settings)
        return
    left = [run for run in planned if not _is_finished(run, planned, settings)]
    if settings.list:
        for run in planned:
            print("left" if run in left else "done", run.name)
        return
    for regime in {run.regime.radiographs: run.regime for run in left}.values():
        data.prepare(regime, settings.work)  # once, before runs that share the radiographs
    began = time.monotonic()
    failed = _run_all(left, settings)
    ended, minutes = len(left) - len(failed), (time.monotonic() - began) / 60
    print(f"{ended} runs in {minutes:.0f} minutes; results in {settings.results}")
    if failed:
        output = runs.folder_of(failed[0], settings.work) / runs.OUTPUT
        raise InputError(
            f"{len(failed)} runs failed, or wait for one that did: {', '.join(failed)}. "
            f"{output} or the lines above say why; the same command goes on."
        )


def _run_one(planned: list[Run], settings: ExperimentSettings) -> None:
    """Train and score the run of --only."""
    run = next((run for run in planned if run.name == settings.only), None)
    if run is None:
        raise InputError(f"stage {settings.stage} has no run {settings.only}; --list prints the names.")
    try:
        runs.train(run, settings.work)
    except subprocess.CalledProcessError:
        output = runs.folder_of(run.name, settings.work) / runs.OUTPUT
        raise InputError(f"the training {run.name} did not end; {output} says why.") from None
    runs.score(run, settings.work, settings.results)


def with_teachers(planned: list[Run]) -> list[Run]:
    """Return the runs with those of their teachers before them, each once."""
    return list(dict.fromkeys(each for run in planned for each in (*run.teachers, run)))


def _is_finished(run: Run, planned: list[Run], settings: ExperimentSettings) -> bool:
    """Return whether a run has its result and, if it teaches one that has none, its checkpoint too."""
    if not (settings.results / f"{run.name}.json").is_file():
        return False
    pupils = [one for one in planned if run in one.teachers]
    needed = not all((settings.results / f"{one.name}.json").is_file() for one in pupils)
    return runs.is_trained(run, settings.work) or not needed


def _run_all(left: list[Run], settings: ExperimentSettings) -> list[str]:
    """Run them in order, a student when its teachers are there; return the names of those that failed.

    A run that fails does not stop the others; its students are left out.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // settings.jobs)
    waiting, running, failed = list(left), dict[Future, Run](), list[str]()
    with ThreadPoolExecutor(settings.jobs) as pool, tqdm(total=len(left), unit="run") as bar:
        while True:
            ready = [
                run for run in waiting if all(runs.is_trained(one, settings.work) for one in run.teachers)
            ]
            for run in ready[: settings.jobs - len(running)]:
                waiting.remove(run)
                running[pool.submit(_in_a_process, run.name, settings, threads)] = run
            if not running:
                return failed + [run.name for run in waiting]
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                run = running.pop(future)
                if future.exception():
                    failed.append(run.name)
                bar.update()


def _in_a_process(name: str, settings: ExperimentSettings, threads: int) -> None:
    words = [sys.executable, "-m", "benchmarks.distillation", "--stage", settings.stage, "--only", name]
    words += ["--budget", settings.budget, "--work", str(settings.work), "--results", str(settings.results)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    subprocess.run(words, check=True, cwd=ROOT, env=environment)


if __name__ == "__main__":
    with script.run(ExperimentSettings, {"__file__": __file__, "__doc__": __doc__}) as settings:
        main(settings)
