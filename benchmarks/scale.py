"""Time and memory of prepare.py and of the loader, for 1,000, 10,000 and 112,120 radiographs.

    python -m benchmarks.scale                      # draws 64 synthetic radiographs of 256 px
    python -m benchmarks.scale --files DIR          # takes the image files of a folder, over and over

For each count prepare.py packs the radiographs on all cores, and a pass of the loader on one core brings
them, in random order, to normalised batches; the counts take turns at the passes. Memory is the anonymous
memory of all processes together at its highest, measured ten times a second: the pages of files belong to
the system, which takes them back when it needs them.
Writes benchmarks/results/scale-cpu.json; 112,120 take 8 GB of disk for a while and 6 minutes on 2 cores.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro

from benchmarks.common import Settings, keep_result
from benchmarks.folders import draw_radiographs, repeat_as_nih
from cxr14.data import augment
from cxr14.data.image_lists import ImageList
from cxr14.data.images import open_images
from cxr14.data.loader import Batch, Batches
from cxr14.findings import FINDINGS
from cxr14.settings import ROOT

SIDE, IMAGE_SIZE, BATCH_SIZE = 256, 224, 64
LOOKS_A_SECOND = 10


@dataclass(kw_only=True)
class ScaleSettings(Settings):
    """Settings of this benchmark."""

    counts: tuple[int, ...] = (1_000, 10_000, 112_120)
    """Radiographs; the last is the real set's."""
    files: Path | None = None
    """Folder of image files; None draws synthetic ones."""
    work: Path = Path(tempfile.gettempdir())
    """Folder on a disk with room: 66 kB a radiograph of the largest count."""
    rounds: int = 3
    """Passes for each count."""
    one_pass: Path | None = None
    """Go through a prepared folder once and print the seconds; the benchmark runs itself so."""


def one_pass(prepared: Path) -> float:
    """Bring all radiographs to normalised batches on one core; return the seconds that it worked."""
    torch.set_num_threads(1)
    images = open_images(prepared / "images")
    # Not the lists that were prepared: they go on without copies, of which this set is full.
    names = sorted(images.names)
    image_list = ImageList(prepared, names, np.zeros((len(names), len(FINDINGS)), np.uint8))
    generator = torch.Generator().manual_seed(0)
    buffer = torch.empty(BATCH_SIZE, 3, IMAGE_SIZE, IMAGE_SIZE)
    batches = Batches(image_list, images, side=SIDE, batch_size=BATCH_SIZE, seed=0)

    def bring(batch: Batch) -> None:
        crops = augment.draw_crops(len(batch.images), SIDE, 0.5, generator)
        augment.normalise(augment.cut(batch.images, crops, IMAGE_SIZE), buffer[: len(batch.images)])

    bring(next(batches.epoch(1)))  # what is loaded and chosen at the first call is not the loader's
    began = time.process_time()
    for batch in batches.epoch(0):
        bring(batch)
    return time.process_time() - began


def anonymous_bytes(process: int) -> int:
    """Return the memory that a process and its descendants hold, file pages aside."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = sum(int(kib) << 10 for kib in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", status))
    return own + sum(anonymous_bytes(int(child)) for child in children)


class Watched(NamedTuple):
    """What a script took, with all its processes, and said."""

    clock: float
    processors: float
    """Seconds; those of the processors hold on a busy machine as well."""
    memory: int
    """Bytes."""
    said: str


def watched(*words: object) -> Watched:
    """Run a script and watch it."""
    began, most = time.perf_counter(), 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        while run.poll() is None:
            most = max(most, anonymous_bytes(run.pid))
            time.sleep(1 / LOOKS_A_SECOND)
        clock, said = time.perf_counter() - began, run.stdout.read()
    if run.returncode:
        raise RuntimeError(f"{words[0]} ended with status {run.returncode}: {said}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processors = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Watched(clock, processors, most, said)


def prepared(folder: Path, files: list[Path], count: int) -> Watched:
    """Prepare `count` radiographs into FOLDER/COUNT."""
    source = repeat_as_nih(folder / f"source-{count}", files, count)
    script = ROOT / "ChestX-ray14" / "prepare.py"
    return watched(script, "--source", source, "--out", folder / str(count), "--size", SIDE)


def main(settings: ScaleSettings) -> None:
    """Measure every count and keep the result."""
    with tempfile.TemporaryDirectory(dir=settings.work) as temporary:
        folder = Path(temporary)
        drawn = folder / "drawn"
        files = sorted(settings.files.glob("*.png")) if settings.files else draw_radiographs(drawn, 64, SIDE)
        prepare = {count: prepared(folder, files, count) for count in settings.counts}
        passes = {count: [] for count in settings.counts}
        for _ in range(settings.rounds):
            for count, done in passes.items():
                done.append(watched("-m", "benchmarks.scale", "--one-pass", folder / str(count)))
    rows = [
        {
            "radiographs": count,
            "prepare s": prepare[count].clock,
            "prepare ms an image": prepare[count].clock / count * 1e3,
            "prepare ms an image, of the processors": prepare[count].processors / count * 1e3,
            "prepare peak MB": prepare[count].memory / 1e6,
            "loader ms an image, of the processor": [float(one.said) / count * 1e3 for one in passes[count]],
            "loader peak MB": max(one.memory for one in passes[count]) / 1e6,
        }
        for count in settings.counts
    ]
    content = {"files": settings.files.name if settings.files else "synthetic", "rows": rows}
    keep_result(settings, "scale", torch.device("cpu"), content)


if __name__ == "__main__":
    settings = tyro.cli(ScaleSettings, description=__doc__)
    if settings.one_pass:
        print(one_pass(settings.one_pass))
    else:
        main(settings)
