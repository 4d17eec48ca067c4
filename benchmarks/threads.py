"""One thread against all, on a quiet machine and beside busy processes: images/s of CheXNet's training step.

    python -m benchmarks.threads

Each figure is the median over rounds that take turns, in processes of their own. The share of the machine
that other programs took is kept beside it: the figures hold for a machine on which it is near 0.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
import tyro

from benchmarks.common import Settings, keep_result
from cxr14.models import zoo
from cxr14.runtime import devices
from cxr14.runtime.threads import cpu_times, share_of_others, use_threads
from cxr14.settings import ROOT

NETWORK = "3-CheXNet"
IMAGE_SIZE, BATCH_SIZE = 64, 16


@dataclass(kw_only=True)
class ThreadsSettings(Settings):
    """The benchmark of threads."""

    seconds: float = 10.0
    """Time of each measurement."""
    rounds: int = 3
    """Measurements of each kind."""
    step: int | None = None
    """Measure with this many threads and print images/s: what the benchmark starts for each measurement."""


def images_per_second(threads: int, seconds: float) -> float:
    """Return how many images a second CheXNet learns from, with so many threads."""
    use_threads(threads)
    model = devices.place(zoo.build(NETWORK, pretrained=False, image_size=IMAGE_SIZE), devices.choose("cpu"))
    images, labels = torch.randn(BATCH_SIZE, 3, IMAGE_SIZE, IMAGE_SIZE), torch.zeros(BATCH_SIZE, 14)
    optimiser = torch.optim.AdamW(model.parameters())

    def step() -> None:
        torch.nn.functional.binary_cross_entropy_with_logits(model(images), labels).backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step()
        steps += 1
    return steps * BATCH_SIZE / (time.perf_counter() - began)


def main(settings: ThreadsSettings) -> None:
    """Measure with one thread and with one for each core, beside 0, 1 and 3 busy processes."""
    if settings.step:
        print(images_per_second(settings.step, settings.seconds))
        return
    cores = len(os.sched_getaffinity(0))
    measured: dict[tuple[int, int], list[tuple[float, float | None]]] = {}
    for _ in range(settings.rounds):
        for busy in (0, 1, 3):
            for threads in (1, cores):
                measured.setdefault((busy, threads), []).append(_beside(busy, threads, settings.seconds))
    rows = [
        {
            "busy processes": busy,
            "threads": threads,
            "images/s": statistics.median(rate for rate, _ in values),
            "all": [rate for rate, _ in values],
            "share of other programs": [share for _, share in values],
        }
        for (busy, threads), values in measured.items()
    ]
    content = {"network": NETWORK, "image size": IMAGE_SIZE, "batch size": BATCH_SIZE, "rows": rows}
    keep_result(settings, "threads", devices.choose("cpu"), content)


def _beside(busy: int, threads: int, seconds: float) -> tuple[float, float | None]:
    """Return images/s beside busy processes, and the share of the machine that other programs took."""
    before = cpu_times()
    spin = [sys.executable, "-c", "from cxr14.runtime.threads import spin; spin(3600)"]
    others = [subprocess.Popen(spin, cwd=ROOT) for _ in range(busy)]
    words = [sys.executable, "-m", "benchmarks.threads", "--step", str(threads), "--seconds", str(seconds)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    try:
        time.sleep(5 if others else 0)  # they load torch first
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
    after = cpu_times()  # the busy processes have ended, so their time counts as this process's own
    return json.loads(done.stdout), share_of_others(before, after) if before and after else None


if __name__ == "__main__":
    main(tyro.cli(ThreadsSettings, description=__doc__))
