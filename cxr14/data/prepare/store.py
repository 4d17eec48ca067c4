"""The packed store while it grows: nothing done is lost, and nothing unfinished looks finished.

It grows in a folder of its own, ``packing/``: an array whose rows are filled in any order, and a journal with
a line for each row that is safely on the disk. Only a whole store is moved up to where it is read, index
last.
"""

import csv
import os
import shutil
from collections.abc import Iterable
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from cxr14.data.images import (
    STORE_INDEX,
    STORE_LAYOUT,
    STORE_PIXELS,
    STORE_WORKING,
    StoreEntry,
    parse_index,
    read_index,
)
from cxr14.errors import InputError

_JOURNAL = "journal.csv"
# What index, journal and lists take beside the pixels, generously.
_SPARE_BYTES = 32 << 20
_README_NAME = "README.txt"
_README = """store.npy  {count} radiographs, {side} x {side} pixels, 8-bit gray, one after the other: a NumPy
           array (N, {side}, {side}) uint8, to be opened with numpy.load("store.npy", mmap_mode="r").
store.csv  one line a row of it: file name, size in bytes, width, height and pixel format of the file that it
           was decoded from, its state (ok, constant, unreadable) and a hash of its pixels.

Written by ChestX-ray14/prepare.py; the rows are in the order of the file names.
"""


def finished_index(folder: Path, sizes: dict[str, int], side: int) -> list[StoreEntry] | None:
    """Return the index of a finished store, or None where there is none or it holds other files.

    Args:
        folder: where it would lie.
        sizes: file name -> bytes of the file, in the order of the rows.
        side: S, pixels along one side.

    Raises:
        InputError: it is of another size or layout.
    """
    if not (folder / STORE_INDEX).exists():
        return None
    index = read_index(folder / STORE_INDEX)
    _require_side(folder / STORE_PIXELS, side)
    return index if [(entry.name, entry.bytes) for entry in index] == list(sizes.items()) else None


def clear_up(folder: Path) -> None:
    """Remove what growing has left beside a finished store."""
    for leftover in folder.glob(f"{STORE_WORKING}*"):
        shutil.rmtree(leftover)


class GrowingStore:
    """A packed store that is being filled, by this run or by an earlier one that was stopped.

    Attributes:
        sizes: file name -> bytes of the file, in the order of the rows.
        pixels: the array's file.
        offset: bytes before its first row.
        done: file name -> what is known of a row that needs no more work.
    """

    def __init__(self, folder: Path, sizes: dict[str, int], side: int) -> None:
        """Go on where an earlier run stopped, or begin.

        Args:
            folder: where the finished store belongs.
            sizes: file name -> bytes of the file, in the order of the rows. A row that is done counts only
                while its file has kept its size.
            side: S, pixels along one side.

        Raises:
            InputError: a store of another size or layout is there, finished or not.
        """
        self._folder, self._working = folder, folder / STORE_WORKING
        self.sizes, self._side = sizes, side
        self._rows = {name: row for row, name in enumerate(sizes)}
        self._uncommitted: list[StoreEntry] = []
        self.pixels, self._journal = self._working / STORE_PIXELS, self._working / _JOURNAL
        self.done: dict[str, StoreEntry] = {}
        if self._journal.exists() and not self.pixels.exists():
            # The earlier run was stopped while it published: after the index moved up, or before.
            if (folder / STORE_INDEX).exists():
                clear_up(folder)
            else:
                (folder / STORE_PIXELS).replace(self.pixels)
        superseded = self._set_aside_if_other()
        if self._journal.exists():
            self._remember(_read_journal(self._journal))
        self._require_space()
        if not self._journal.exists():
            self._begin()
        self.offset = _mapped(self.pixels).offset
        for store in superseded:
            self._adopt(store / STORE_PIXELS, _read_journal(store / _JOURNAL))
        if (folder / STORE_INDEX).exists():
            self._adopt(folder / STORE_PIXELS, read_index(folder / STORE_INDEX))

    def row_of(self, name: str) -> int:
        """Return the row that a radiograph belongs in."""
        return self._rows[name]

    def note(self, entries: Iterable[StoreEntry]) -> None:
        """Take down rows that have been written; `commit` makes that last."""
        entries = list(entries)
        self._uncommitted += entries
        self.done |= {entry.name: entry for entry in entries}

    def commit(self) -> None:
        """Bring the rows noted so far to the disk, and then the journal that says so."""
        if not self._uncommitted:
            return
        with self.pixels.open("rb") as file:
            os.fsync(file.fileno())
        with self._journal.open("a", encoding="utf-8", newline="") as file:
            _write_entries(file, self._uncommitted)
        self._uncommitted = []

    def publish(self) -> list[StoreEntry]:
        """Move the whole store up and return its index."""
        index = sorted(self.done.values())
        _write_index(self._working / STORE_INDEX, index)
        readme = self._working / _README_NAME
        readme.write_text(_README.format(count=len(index), side=self._side), encoding="utf-8")
        (self._folder / STORE_INDEX).unlink(missing_ok=True)
        for name in (STORE_PIXELS, _README_NAME, STORE_INDEX):
            (self._working / name).replace(self._folder / name)
        return index

    def _set_aside_if_other(self) -> list[Path]:
        # Radiographs came or went since the earlier run: rows have other numbers now, so it becomes a quarry.
        quarries = sorted(self._folder.glob(f"{STORE_WORKING}-before-*"))
        if self._journal.exists():
            _require_side(self.pixels, self._side)
            entries = _read_journal(self._journal)
            same = len(_mapped(self.pixels)) == len(self._rows)
            if not same or any(self._rows.get(entry.name) != entry.row for entry in entries):
                quarries.append(self._folder / f"{STORE_WORKING}-before-{len(quarries)}")
                self._working.replace(quarries[-1])
        return quarries

    def _begin(self) -> None:
        self._working.mkdir(parents=True, exist_ok=True)
        shape = (len(self.sizes), self._side, self._side)
        np.lib.format.open_memmap(self.pixels, mode="w+", dtype=np.uint8, shape=shape)
        _write_index(self._working / STORE_INDEX, [])
        (self._working / STORE_INDEX).replace(self._journal)

    def _remember(self, entries: list[StoreEntry]) -> None:
        self.done |= {entry.name: entry for entry in entries if self.sizes[entry.name] == entry.bytes}

    def _adopt(self, pixels: Path, entries: list[StoreEntry]) -> None:
        useful = [e for e in entries if e.name not in self.done and self.sizes.get(e.name) == e.bytes]
        stored = _mapped(pixels)
        with self.pixels.open("r+b") as file:
            for entry in useful:
                row = self._rows[entry.name]
                file.seek(self.offset + row * self._side**2)
                file.write(stored[entry.row].tobytes())
                self.note([replace(entry, row=row)])
        self.commit()

    def _require_space(self) -> None:
        needed = (len(self.sizes) - len(self.done)) * self._side**2 + _SPARE_BYTES
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise InputError(
                f"packing needs {needed / 1e9:.2f} GB more in {self._folder}, where {free / 1e9:.2f} GB are "
                "free: make room, or choose another --out."
            )


def _require_side(pixels: Path, side: int) -> None:
    found = _mapped(pixels).shape[1]
    if found != side:
        raise InputError(
            f"{pixels} holds radiographs of {found} px, not of {side}: say --size {found}, delete the store, "
            "or choose another --out."
        )


def _mapped(pixels: Path) -> np.memmap:
    return np.load(pixels, mmap_mode="r")


def _read_journal(path: Path) -> list[StoreEntry]:
    text = path.read_bytes()
    # A line that was being written when the power failed has no end; what follows must not be glued to it.
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(path, len(whole))
    return parse_index(whole.decode().splitlines(), path)


def _write_index(path: Path, entries: Iterable[StoreEntry]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(STORE_LAYOUT + "\n" + ",".join(field.name for field in fields(StoreEntry)) + "\n")
        _write_entries(file, entries)


def _write_entries(file: TextIO, entries: Iterable[StoreEntry]) -> None:
    csv.writer(file, lineterminator="\n").writerows(map(astuple, entries))
    file.flush()
    os.fsync(file.fileno())
