"""How many radiographs a second one core brings from the disk to what a network is shown, three ways.

    python -m benchmarks.loading                                     # draws synthetic radiographs of 1024 px
    python -m benchmarks.loading --originals DIR                     # takes the PNG files of a folder

The contestants take turns on one core in one process; the median of the rounds counts, in the processor's own
time, so that a busy machine changes little:
  usual 1024   PIL and torchvision from PNG as NIH ships them, an image a time: resize, crop, flip, normalise;
  usual 256    the same from PNG reduced to 256 px;
  ours         from the packed store to a normalised float batch: read, cut, normalise;
  host         what is left of ours for the CPU when a GPU cuts and normalises: read and draw the crops.
Then the store read by 0, 1 and 2 processes; and packing, as prepare.py does it, against bare decoding and
resizing, by the clock and by the processors' time.
Writes benchmarks/results/loading-cpu.json; 2 minutes on 2 cores.
"""

import os
import resource
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
from torchvision import transforms

from benchmarks.common import keep_result
from benchmarks.folders import repeat_as_nih
from cxr14 import augment
from cxr14.dataset import Batches
from cxr14.images import PackedImages, decode, open_images, resize
from cxr14.labels import FINDINGS
from cxr14.lists import ImageList
from cxr14.phantom import DIFFICULTIES, render

FILE_SIDE, STORE_SIDE, IMAGE_SIZE, SMALLEST_CROP = 1024, 256, 224, 0.5
STORED = 2048  # rows of the store that ours draws from: 134 MB, more than any cache of the processor
# Not prepare.py itself: a set that repeats a few radiographs has no three sides without copies.
PACK = f"""
import os, sys
from pathlib import Path
from cxr14.origins import find_origins
from cxr14.packing import pack
source = Path(sys.argv[1])
origins = find_origins(source / "images", {STORE_SIDE})
pack(origins, origins[0].sizes, source / "store", {STORE_SIDE}, os.cpu_count())
"""


@dataclass(kw_only=True)
class LoadingSettings:
    """What this benchmark can be told."""

    originals: Path | None = None
    """Folder of 1024 px PNG files; None draws 24 synthetic ones."""
    batch_size: int = 64
    """Radiographs in one batch of ours."""
    rounds: int = 5
    """How often the contestants take turns."""
    prepared: int = 2400
    """Radiographs that are packed, the originals over and over."""


def usual_pipeline() -> Callable[[Path], torch.Tensor]:
    """Return the pipeline that most repositories of this kind have, from a file to (3, 224, 224) float32."""
    transform = transforms.Compose(
        [
            transforms.Resize(STORE_SIDE),
            transforms.RandomResizedCrop(IMAGE_SIZE, scale=(SMALLEST_CROP, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(augment.MEAN, augment.STD),
        ]
    )
    return lambda path: transform(Image.open(path).convert("RGB"))


class Ours:
    """From the packed store to a normalised batch, as the training loop does it."""

    def __init__(self, images: PackedImages, batch_size: int) -> None:
        self.images, self.batch_size = images, batch_size
        self.names = sorted(images.names)
        self.order = np.random.default_rng(0)
        self.generator = torch.Generator().manual_seed(0)
        self.buffer = torch.empty(batch_size, 3, IMAGE_SIZE, IMAGE_SIZE)

    def host(self) -> tuple[torch.Tensor, augment.Crops]:
        """Read a batch in random order and draw its crops."""
        chosen = [self.names[i] for i in self.order.integers(0, len(self.names), self.batch_size)]
        gray = torch.from_numpy(self.images.read(chosen, STORE_SIDE))
        return gray, augment.draw_crops(len(gray), STORE_SIDE, SMALLEST_CROP, self.generator)

    def batch(self) -> torch.Tensor:
        """Read, cut and normalise a batch."""
        gray, crops = self.host()
        return augment.normalise(augment.cut(gray, crops, IMAGE_SIZE), self.buffer)


def draw_originals(folder: Path) -> list[Path]:
    """Draw synthetic radiographs and enlarge them to NIH's size; only their decoding matters."""
    folder.mkdir()
    for index in range(24):
        film = Image.fromarray(render(index, 0, DIFFICULTIES["standard"], STORE_SIDE).image)
        film = film.resize((FILE_SIDE, FILE_SIDE), Image.Resampling.BICUBIC)
        film.save(folder / f"synthetic_{index:08d}_000.png")
    return sorted(folder.glob("*.png"))


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
    """Let the contestants take turns; return the median milliseconds of each and their ratios."""
    usual, ours = usual_pipeline(), Ours(images, batch_size)
    contestants = {
        "usual 1024": (lambda: [usual(path) for path in originals], len(originals)),
        "usual 256": (lambda: [usual(path) for path in reduced * 4], len(reduced) * 4),
        "ours": (lambda: [ours.batch() for _ in range(8)], 8 * batch_size),
        "host": (lambda: [ours.host() for _ in range(16)], 16 * batch_size),
    }
    times = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, (work, count) in contestants.items():
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


def bare(originals: list[Path]) -> None:
    """Decode and resize, and nothing else."""
    for path in originals:
        resize(decode(path), STORE_SIDE)


def pack_in_a_process(source: Path) -> tuple[float, float]:
    """Pack a folder on all cores; return the seconds it takes, of the clock and of the processors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", PACK, source], check=True, capture_output=True)
    taken, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def preparing(folder: Path, originals: list[Path], count: int) -> dict[str, float]:
    """Compare what prepare.py does to each radiograph, on all cores, with bare decoding and resizing on one.

    What an image takes is the slope between two counts: starting the processes takes as long for any.
    """
    cores, few, work = len(os.sched_getaffinity(0)), count // 6, originals * 8
    bare_processor = milliseconds(lambda: bare(work), len(work))
    bare_clock = milliseconds(lambda: bare(work), len(work), time.perf_counter)
    small = pack_in_a_process(repeat_as_nih(folder / "few", originals, few))
    large = pack_in_a_process(repeat_as_nih(folder / "many", originals, count))
    clock, processors = ((b - a) / (count - few) * 1e3 for a, b in zip(small, large, strict=True))
    return {
        "cores": cores,
        "bare ms an image": bare_clock,
        "bare ms an image, of the processor": bare_processor,
        "packing ms an image and core": clock * cores,
        "packing ms an image, of the processors": processors,
        "seconds for the processes to start": small[0] - clock * few / 1e3,
        "packing over bare, per core": bare_clock / (clock * cores),
        "packing over bare, by the processors' time": bare_processor / processors,
    }


def main(settings: LoadingSettings) -> None:
    """Run it all and keep the result."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        originals = (
            sorted(settings.originals.glob("*.png"))
            if settings.originals
            else draw_originals(folder / "drawn")
        )
        reduced = reduce_to(folder / "reduced", originals)
        stored = repeat_as_nih(folder / "stored", reduced, STORED)
        pack_in_a_process(stored)
        images = open_images(stored / "store")
        content = {
            "originals": settings.originals.name if settings.originals else "synthetic",
            "one core": one_core(originals, reduced, images, settings.rounds, settings.batch_size),
            "reading the store, ms an image": reading_processes(images, settings.batch_size),
            "preparing": preparing(folder, originals, settings.prepared),
        }
    keep_result("loading", torch.device("cpu"), content)


if __name__ == "__main__":
    main(tyro.cli(LoadingSettings, description=__doc__))
