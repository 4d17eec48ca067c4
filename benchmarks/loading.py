"""Milliseconds from a radiograph on disk to a network's input on one core, for several ways to read.

    python -m benchmarks.loading                                     # draws synthetic radiographs of 1024 px
    python -m benchmarks.loading --originals DIR                     # takes the PNG files of a folder

The ways to read take turns on one core in one process; the median of the rounds counts, in the processor's
own time, so that a busy machine changes little:
  usual 1024   PIL and torchvision from PNG as NIH ships them, an image a time: resize, crop, flip, normalise;
  usual 256    the same from PNG reduced to 256 px;
  ours         from the packed store to a normalised float batch: read, cut, normalise; once contiguous, as
               the usual ones are, and once with the channels last, as the training loop fills it;
  host         what is left of ours for the CPU when a GPU cuts and normalises: read and draw the crops.
Then the store read by 0, 1 and 2 processes; and packing, as prepare.py does it, against bare decoding and
resizing, both on all cores, by the clock and by the processors' time.
Writes benchmarks/results/loading-cpu.json; 2 minutes on 2 cores.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from benchmarks.common import Settings, keep_result
from benchmarks.folders import draw_radiographs, repeat_as_nih
from benchmarks.usual import usual_pipeline
from cxr14.data import augment
from cxr14.data.image_lists import ImageList
from cxr14.data.images import PackedImages, decode, open_images, resize
from cxr14.data.loader import Batches
from cxr14.findings import FINDINGS
from cxr14.runtime import devices

FILE_SIDE, STORE_SIDE, IMAGE_SIZE, SMALLEST_CROP = 1024, 256, 224, 0.5
STORED = 2048  # rows of the store that ours draws from: 134 MB, more than any cache of the processor
# Not prepare.py itself: a set that repeats a few radiographs has no three sides without copies.
PACK = f"""
import os, sys
from pathlib import Path
from cxr14.data.prepare.sources import find_sources
from cxr14.data.prepare.packing import pack
source = Path(sys.argv[1])
sources = find_sources(source / "images", {STORE_SIDE})
pack(sources, sources[0].sizes, source / "store", {STORE_SIDE}, os.cpu_count())
"""
BARE = f"""
import os, sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from cxr14.data.images import decode, resize

def work(path):
    resize(decode(path), {STORE_SIDE})

with ProcessPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(work, Path(sys.argv[1], "images").iterdir(), chunksize=16))
"""


@dataclass(kw_only=True)
class LoadingSettings(Settings):
    """Settings of this benchmark."""

    originals: Path | None = None
    """Folder of 1024 px PNG files; None draws 24 synthetic ones."""
    batch_size: int = 64
    """Radiographs in one batch of ours."""
    rounds: int = 7
    """Measurements of each way to read."""
    prepared: int = 1200
    """Radiographs that are packed, the originals over and over."""


class Ours:
    """From the packed store to a normalised batch, as the training loop does it."""

    def __init__(self, images: PackedImages, batch_size: int) -> None:
        self.images, self.batch_size = images, batch_size
        self.names = sorted(images.names)
        self.order = np.random.default_rng(0)
        self.generator = torch.Generator().manual_seed(0)
        size = (batch_size, IMAGE_SIZE, IMAGE_SIZE)
        self.contiguous = torch.empty(batch_size, 3, IMAGE_SIZE, IMAGE_SIZE)
        self.channels_last = augment.room_for(torch.empty(size, dtype=torch.uint8))

    def host(self) -> tuple[torch.Tensor, augment.Crops]:
        """Read a batch in random order and draw its crops."""
        chosen = [self.names[i] for i in self.order.integers(0, len(self.names), self.batch_size)]
        gray = torch.from_numpy(self.images.read(chosen, STORE_SIDE))
        return gray, augment.draw_crops(len(gray), STORE_SIDE, SMALLEST_CROP, self.generator)

    def batch(self, buffer: torch.Tensor) -> torch.Tensor:
        """Read, cut and normalise a batch."""
        gray, crops = self.host()
        return augment.normalise(augment.cut(gray, crops, IMAGE_SIZE), buffer)


def reduce_to(folder: Path, originals: list[Path]) -> list[Path]:
    """Write the originals at 256 px."""
    folder.mkdir()
    for path in originals:
        Image.fromarray(resize(decode(path), STORE_SIDE)).save(folder / path.name)
    return sorted(folder.glob("*.png"))


def milliseconds(
    work: Callable[[], object], images: int, clock: Callable[[], float] = time.process_time
) -> float:
    """Return the milliseconds an image of one call, by default of the processor's time."""
    began = clock()
    work()
    return (clock() - began) / images * 1e3


def one_core(
    originals: list[Path], reduced: list[Path], images: PackedImages, rounds: int, batch_size: int
) -> dict:
    """Measure the ways to read in turns; return the median milliseconds of each and their ratios."""
    usual, ours = usual_pipeline(IMAGE_SIZE, SMALLEST_CROP), Ours(images, batch_size)
    ways = {
        "usual 1024": (lambda: [usual(path) for path in originals], len(originals)),
        "usual 256": (lambda: [usual(path) for path in reduced * 4], len(reduced) * 4),
        "ours": (lambda: [ours.batch(ours.contiguous) for _ in range(8)], 8 * batch_size),
        "ours, channels last": (lambda: [ours.batch(ours.channels_last) for _ in range(8)], 8 * batch_size),
        "host": (lambda: [ours.host() for _ in range(16)], 16 * batch_size),
    }
    times = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, (work, count) in ways.items():
            taken = milliseconds(work, count)
            if turn:  # the first one warms up
                times[name].append(taken)
    median = {name: statistics.median(taken) for name, taken in times.items()}
    return {
        "ms an image": median,
        "images/s per core": {name: 1e3 / taken for name, taken in median.items()},
        "ours over usual 1024": median["usual 1024"] / median["ours"],
        "ours over usual 256": median["usual 256"] / median["ours"],
        "host work under a GPU, against usual 1024": median["usual 1024"] / median["host"],
    }


def reading_processes(images: PackedImages, batch_size: int) -> dict[str, float]:
    """Return the milliseconds an image that a pass over the store takes with 0, 1 and 2 processes beside."""
    names = sorted(images.names)
    image_list = ImageList(Path("list"), names, np.zeros((len(names), len(FINDINGS)), np.uint8))

    class Handed(PackedImages):
        def copies(self, side: int) -> bool:
            return False  # so that processes are started for it

    def a_pass(workers: int) -> float:
        source = Handed(images.folder) if workers else images
        batches = Batches(
            image_list,
            source,
            side=STORE_SIDE,
            batch_size=batch_size,
            num_workers=workers,
            context="fork",
            seed=0,
        )
        list(batches.epoch(0))  # starts the processes
        return milliseconds(
            lambda: [batch.index for batch in batches.epoch(1)], len(names), time.perf_counter
        )

    return {
        f"{workers} processes": statistics.median(a_pass(workers) for _ in range(3)) for workers in (0, 1, 2)
    }


def on_all_cores(script: str, source: Path) -> np.ndarray:
    """Run a script over the radiographs of a folder; return seconds, of the clock and of the processors."""
    shutil.rmtree(source / "store", ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", script, source], check=True, capture_output=True)
    taken, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime])


def preparing(folder: Path, originals: list[Path], count: int, rounds: int) -> dict[str, float]:
    """Compare what prepare.py does to each radiograph with bare decoding and resizing, both on all cores.

    What an image takes is the slope between two counts: starting the processes takes as long for any.
    """
    few = count // 6
    small, large = (repeat_as_nih(folder / str(n), originals, n) for n in (few, count))
    slopes = {"bare": [], "packing": []}
    for _ in range(rounds):
        for name, script in (("bare", BARE), ("packing", PACK)):
            taken = on_all_cores(script, large) - on_all_cores(script, small)
            slopes[name].append(taken / (count - few) * 1e3)
    bare, packing = (np.median(slopes[name], axis=0) for name in slopes)
    cores = len(os.sched_getaffinity(0))
    return {
        "cores": cores,
        "bare ms an image and core": bare[0] * cores,
        "bare ms an image, of the processors": bare[1],
        "packing ms an image and core": packing[0] * cores,
        "packing ms an image, of the processors": packing[1],
        "packing over bare, by the clock": bare[0] / packing[0],
        "packing over bare, by the processors' time": bare[1] / packing[1],
    }


def main(settings: LoadingSettings) -> None:
    """Run it all and keep the result."""
    torch.set_num_threads(1)
    devices.choose("cpu")  # memory is kept as it is in a training
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        originals = (
            sorted(settings.originals.glob("*.png"))
            if settings.originals
            else draw_radiographs(folder / "drawn", 24, FILE_SIDE)
        )
        reduced = reduce_to(folder / "reduced", originals)
        stored = repeat_as_nih(folder / "stored", reduced, STORED)
        on_all_cores(PACK, stored)
        images = open_images(stored / "store")
        content = {
            "originals": settings.originals.name if settings.originals else "synthetic",
            "one core": one_core(originals, reduced, images, settings.rounds, settings.batch_size),
            "reading the store, ms an image": reading_processes(images, settings.batch_size),
            "preparing": preparing(folder, originals, settings.prepared, settings.rounds // 2),
        }
    keep_result(settings, "loading", torch.device("cpu"), content)


if __name__ == "__main__":
    main(tyro.cli(LoadingSettings, description=__doc__))
