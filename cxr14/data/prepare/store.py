"""The packed store while it is filled.

It is filled in a folder of its own, ``store.unfinished/``: an array whose rows are written in any order, and
a journal with one line for each row that is safely on the disk. A finished store is moved to its final place,
the index last.
"""

import csv
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from cxr14.data.store_files import (
    STORE_INDEX,
    STORE_LAYOUT,
    STORE_PIXELS,
    STORE_README,
    STORE_WORKING,
    StoreEntry,
    open_pixels,
    open_store,
    parse_index,
)
from cxr14.errors import InputError
from cxr14.files import require_space

_JOURNAL = "journal.csv"
# A store of other radiographs, which an earlier run did not finish: store.unfinished-1 and so on.
_SET_ASIDE = re.compile(re.escape(STORE_WORKING) + r"-(\d+)")
# An upper bound for index, journal and image lists.
_SPARE_BYTES = 32 << 20
_README = """store.npy  {count} radiographs, {side} x {side} pixels, 8-bit gray, one after the other: a NumPy
           array (N, {side}, {side}) uint8, to be opened with numpy.load("store.npy", mmap_mode="r").
store.csv  one line a row of it: file name, size in bytes, width, height and pixel format of the file that it
           was decoded from, its state (ok, constant, unreadable), a hash of its pixels, and the CRC-32 of
           that file.

Written by ChestX-ray14/prepare.py; the rows are in the order of the file names.
"""


ContentOf = Callable[[str], str]
"""File name -> CRC-32 of the file's content, as `StoreEntry.source` records it."""


def _no_content(_name: str) -> str:
    return ""


def finished_index(
    folder: Path, sizes: dict[str, int], side: int, content_of: ContentOf = _no_content
) -> list[StoreEntry] | None:
    """Return the index of a finished store, or None if there is none or it holds other files.

    Args:
        folder: where it would lie.
        sizes: file name -> bytes of the file, in the order of the rows.
        side: S, pixels along one side.
        content_of: called where names and sizes agree.

    Raises:
        InputError: it is of another size or layout, or damaged.
    """
    if not (folder / STORE_INDEX).exists():
        return None
    pixels, index = open_store(folder)
    _require_side(pixels, folder / STORE_PIXELS, side)
    if [(entry.name, entry.bytes) for entry in index] != list(sizes.items()):
        return None
    compared = tqdm(index, desc="comparing with the store", unit=" images", leave=False)
    return index if all(entry.source == content_of(entry.name) for entry in compared) else None


def remove_unfinished(folder: Path) -> None:
    """Remove unfinished stores: the files that this module writes, and folders that are then empty."""
    for working in (folder / STORE_WORKING, *_set_aside(folder).values()):
        for name in (STORE_PIXELS, STORE_INDEX, STORE_README, _JOURNAL):
            (working / name).unlink(missing_ok=True)
        if working.is_dir() and not any(working.iterdir()):
            working.rmdir()


class StoreWriter:
    """A packed store that is not finished, begun by this run or by an earlier one that was stopped.

    Attributes:
        sizes: file name -> bytes of the file, in the order of the rows.
        pixels: the array's file.
        offset: bytes before its first row.
        done: file name -> entry of a row that is finished.
    """

    def __init__(
        self, folder: Path, sizes: dict[str, int], side: int, content_of: ContentOf = _no_content
    ) -> None:
        """Resume an earlier run, or begin.

        Args:
            folder: where the finished store belongs.
            sizes: file name -> bytes of the file, in the order of the rows. A finished row is used only if
                its file has kept its size and its content.
            side: S, pixels along one side.
            content_of: called where names and sizes agree.

        Raises:
            InputError: there is a store of another size or layout, or a damaged one, finished or not.
        """
        self._folder, self._working = folder, folder / STORE_WORKING
        self.sizes, self._side, self._content_of = sizes, side, content_of
        self._rows = {name: row for row, name in enumerate(sizes)}
        self._uncommitted: list[StoreEntry] = []
        self.pixels, self._journal = self._working / STORE_PIXELS, self._working / _JOURNAL
        self.done: dict[str, StoreEntry] = {}
        if self._journal.exists() and not self.pixels.exists():
            # The earlier run was stopped while it published, before the index was moved or after.
            if (folder / STORE_PIXELS).exists() and not (folder / STORE_INDEX).exists():
                (folder / STORE_PIXELS).replace(self.pixels)
            else:
                self._journal.unlink()
        if not self._journal.exists():
            _require_no_other(folder)
        self._set_aside_if_other()
        if self._journal.exists():
            self._remember(_read_journal(self._working, self._open(self._working)))
        self._require_space()
        if not self._journal.exists():
            self._begin()
        self.offset = self._open(self._working).offset
        for store in _set_aside(folder).values():
            if (store / _JOURNAL).exists() and (store / STORE_PIXELS).exists():
                pixels = self._open(store)
                self._copy_rows(pixels, _read_journal(store, pixels))
        if (folder / STORE_INDEX).exists():
            self._copy_rows(*open_store(folder))

    def row_of(self, name: str) -> int:
        """Return the row that a radiograph belongs in."""
        return self._rows[name]

    def record(self, entries: Iterable[StoreEntry]) -> None:
        """Record rows that have been written; `commit` makes them safe against a power failure."""
        entries = list(entries)
        self._uncommitted += entries
        self.done |= {entry.name: entry for entry in entries}

    def commit(self) -> None:
        """Flush the recorded rows to the disk, and then the journal that lists them."""
        if not self._uncommitted:
            return
        with self.pixels.open("rb") as file:
            os.fsync(file.fileno())
        with self._journal.open("a", encoding="utf-8", newline="") as file:
            _write_entries(file, self._uncommitted)
        self._uncommitted = []

    def publish(self) -> list[StoreEntry]:
        """Move the finished store to its final place and return its index."""
        index = sorted(self.done.values())
        _write_index(self._working / STORE_INDEX, index)
        readme = self._working / STORE_README
        readme.write_text(_README.format(count=len(index), side=self._side), encoding="utf-8")
        (self._folder / STORE_INDEX).unlink(missing_ok=True)
        for name in (STORE_PIXELS, STORE_README, STORE_INDEX):
            (self._working / name).replace(self._folder / name)
        return index

    def _open(self, working: Path) -> np.memmap:
        pixels = open_pixels(working / STORE_PIXELS, _remedy(working))
        _require_side(pixels, working / STORE_PIXELS, self._side)
        return pixels

    def _set_aside_if_other(self) -> None:
        # With other radiographs than in the earlier run, rows have other numbers: its rows are copied.
        if not self._journal.exists():
            return
        pixels = self._open(self._working)
        entries = _read_journal(self._working, pixels)
        if len(pixels) != len(self._rows) or any(self._rows.get(e.name) != e.row for e in entries):
            number = max(_set_aside(self._folder), default=0) + 1
            self._working.replace(self._folder / f"{STORE_WORKING}-{number}")

    def _begin(self) -> None:
        self._working.mkdir(parents=True, exist_ok=True)
        shape = (len(self.sizes), self._side, self._side)
        np.lib.format.open_memmap(self.pixels, mode="w+", dtype=np.uint8, shape=shape)
        _write_index(self._working / STORE_INDEX, [])
        (self._working / STORE_INDEX).replace(self._journal)

    def _remember(self, entries: list[StoreEntry]) -> None:
        self.done |= {entry.name: entry for entry in entries if self._is_current(entry)}

    def _is_current(self, entry: StoreEntry) -> bool:
        same_size = self.sizes.get(entry.name) == entry.bytes
        return same_size and entry.source == self._content_of(entry.name)

    def _copy_rows(self, stored: np.ndarray, entries: list[StoreEntry]) -> None:
        useful = [entry for entry in entries if entry.name not in self.done and self._is_current(entry)]
        with self.pixels.open("r+b") as file:
            for entry in useful:
                row = self._rows[entry.name]
                file.seek(self.offset + row * self._side**2)
                file.write(stored[entry.row].tobytes())
                self.record([replace(entry, row=row)])
        self.commit()

    def _require_space(self) -> None:
        needed = (len(self.sizes) - len(self.done)) * self._side**2 + _SPARE_BYTES
        require_space(self._folder, needed, "packing", "free some space, or choose another --out")


def _require_side(pixels: np.ndarray, path: Path, side: int) -> None:
    found = pixels.shape[1]
    if found != side:
        raise InputError(
            f"{path} holds radiographs of {found} px, not of {side}: use --size {found}, delete the store, "
            "or choose another --out."
        )


def _require_no_other(folder: Path) -> None:
    # A store of prepare.py has an index or, while it is published, a journal; publishing would replace this.
    if (folder / STORE_PIXELS).exists() and not (folder / STORE_INDEX).exists():
        raise InputError(
            f"{folder / STORE_PIXELS} has no {STORE_INDEX} beside it and would be replaced: move or delete "
            "it, or choose another --out."
        )


def _set_aside(folder: Path) -> dict[int, Path]:
    return {
        int(match[1]): path for path in sorted(folder.iterdir()) if (match := _SET_ASIDE.fullmatch(path.name))
    }


def _remedy(working: Path) -> str:
    return f"delete the folder {working} and run ChestX-ray14/prepare.py again"


def _read_journal(working: Path, pixels: np.ndarray) -> list[StoreEntry]:
    path = working / _JOURNAL
    content = path.read_bytes()
    # A line that was being written when the power failed has no end; the next line must not be joined to it.
    finished = content[: content.rfind(b"\n") + 1]
    if finished != content:
        os.truncate(path, len(finished))
    entries = parse_index(finished, path, _remedy(working))
    if any(entry.row >= len(pixels) for entry in entries):
        raise InputError(f"{path} lists rows that {STORE_PIXELS} does not have: {_remedy(working)}.")
    return entries


def _write_index(path: Path, entries: Iterable[StoreEntry]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(STORE_LAYOUT + "\n" + ",".join(field.name for field in fields(StoreEntry)) + "\n")
        _write_entries(file, entries)


def _write_entries(file: TextIO, entries: Iterable[StoreEntry]) -> None:
    csv.writer(file, lineterminator="\n").writerows(map(astuple, entries))
    file.flush()
    os.fsync(file.fileno())
