"""The first pass over a store whose file is not in the system's cache, and what PRELOAD makes of it.

    python -m benchmarks.cold                     # a store of 1.3 GB in the temporary folder
    python -m benchmarks.cold --folder /network   # on the disk that is meant

Radiographs of 256 px are read in batches of 64 in a random order, as an epoch reads them: cold, after the
file has left the cache (posix_fadvise); warm; and cold again after PRELOAD has read it through or copied it,
whose time is measured too. Each row is the median of the rounds. Writes benchmarks/results/cold-cpu.json.
"""

import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from benchmarks.common import Settings, keep_result
from cxr14.data.preload import preload
from cxr14.data.store_files import STORE_INDEX, STORE_LAYOUT, STORE_PIXELS

SIDE, BATCH = 256, 64
_CHUNK = 256  # radiographs written at a time


@dataclass(kw_only=True)
class ColdSettings(Settings):
    """Settings of this benchmark."""

    folder: Path | None = None
    """Where the store is made for the time of the measurement; None: the temporary folder."""
    near: Path = Path("/dev/shm")
    """Where PRELOAD puts its copy for the time of the measurement."""
    count: int = 20_000
    """Radiographs of the store, 65.5 kB each."""
    batches: int = 100
    """Batches of a pass."""
    rounds: int = 3
    """Passes of each kind, by turns."""


def write_store(folder: Path, count: int) -> None:
    """Write a store of noise, which no disk can compress."""
    folder.mkdir(parents=True)
    shape = (count, SIDE, SIDE)
    pixels = np.lib.format.open_memmap(folder / STORE_PIXELS, mode="w+", dtype=np.uint8, shape=shape)
    generator = np.random.default_rng(0)
    for start in range(0, count, _CHUNK):
        rows = min(_CHUNK, count - start)
        pixels[start : start + rows] = generator.integers(0, 256, (rows, SIDE, SIDE), np.uint8)
    pixels.flush()
    (folder / STORE_INDEX).write_text(STORE_LAYOUT + "\n")


def forget(path: Path) -> None:
    """Write a file to the disk and drop it from the system's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def pass_over(folder: Path, batches: int, seed: int) -> float:
    """Return the microseconds of a radiograph in one random pass, from a mapping of its own."""
    pixels = np.lib.format.open_memmap(folder / STORE_PIXELS, mode="r")
    order = np.random.default_rng(seed).permutation(len(pixels))[: batches * BATCH]
    began = time.perf_counter()
    for start in range(0, len(order), BATCH):
        pixels[order[start : start + BATCH]].sum(dtype=np.int64, axis=(1, 2))
    return (time.perf_counter() - began) / len(order) * 1e6


def main(settings: ColdSettings) -> None:
    """Measure, print and keep."""
    with (
        tempfile.TemporaryDirectory(dir=settings.folder) as far,
        tempfile.TemporaryDirectory(dir=settings.near) as near,
    ):
        store = Path(far) / "store"
        write_store(store, settings.count)
        pixels = store / STORE_PIXELS
        rates: dict[str, list[float]] = {}
        seconds: dict[str, list[float]] = {"reading through": [], "copying": []}
        for number in range(settings.rounds):
            forget(pixels)
            rates.setdefault("cold", []).append(pass_over(store, settings.batches, number))
            forget(pixels)
            began = time.perf_counter()
            preload(store, "memory")
            seconds["reading through"].append(time.perf_counter() - began)
            rates.setdefault("after PRELOAD = memory", []).append(
                pass_over(store, settings.batches, number + 10)
            )
            rates.setdefault("warm", []).append(pass_over(store, settings.batches, number + 10))
            forget(pixels)
            began = time.perf_counter()
            copy = preload(store, near)
            seconds["copying"].append(time.perf_counter() - began)
            rates.setdefault("after PRELOAD = folder", []).append(
                pass_over(copy, settings.batches, number + 20)
            )
            shutil.rmtree(copy)
        gigabytes = pixels.stat().st_size / 1e9
        content = {
            "radiographs": settings.count,
            "store GB": gigabytes,
            "us a radiograph": {name: statistics.median(values) for name, values in rates.items()},
            "GB/s": {name: gigabytes / statistics.median(values) for name, values in seconds.items()},
            "all": {**rates, **seconds},
        }
    keep_result(settings, "cold", torch.device("cpu"), content)


if __name__ == "__main__":
    main(tyro.cli(ColdSettings, description=__doc__))
