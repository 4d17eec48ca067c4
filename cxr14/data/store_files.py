"""The files of a packed store: names, index, and checks on opening."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from cxr14.errors import InputError

STORE_PIXELS = "store.npy"
STORE_INDEX = "store.csv"
STORE_README = "store.txt"
STORE_WORKING = "store.unfinished"
"""Folder of a store that is not finished."""

STORE_LAYOUT = "# packed store of radiographs, layout 2"
"""First line of an index. Layout 1, without the last column, is read as well; any other is refused."""

_LAYOUT_1 = "# packed store of radiographs, layout 1"
_UNKNOWN = "?"

_STATES = ("ok", "constant", "unreadable")


@dataclass(frozen=True, order=True, slots=True)
class StoreEntry:
    """What the index records about one row of the packed store."""

    row: int
    name: str
    bytes: int
    """Size of the file that it was decoded from."""
    width: int
    height: int
    """Pixels of that file; 0 if it could not be read."""
    mode: str
    """Pillow's name of its pixel format, "L" for 8-bit gray, or "DICOM"."""
    state: str
    """"ok", or why the row is not to be used: "constant" or "unreadable"."""
    content: str
    """Hash of the stored pixels, by which copies under two names are found; of an unreadable DICOM file
    the reason."""
    source: str = ""
    """CRC-32 of the content of that file, in hexadecimal digits; empty: it could not be read."""


def open_store(folder: Path) -> tuple[np.memmap, list[StoreEntry]]:
    """Open a finished packed store.

    Returns:
        The pixels, a memory map (N, S, S) uint8, and N entries in the order of the rows.

    Raises:
        InputError: a file is missing, damaged or of another layout; the message names the files to delete.
    """
    remedy = f"delete {STORE_PIXELS} and {STORE_INDEX} in {folder} and run ChestX-ray14/prepare.py again"
    index = read_index(folder / STORE_INDEX, remedy)
    pixels = open_pixels(folder / STORE_PIXELS, remedy)
    rows_match = [entry.row for entry in index] == list(range(len(pixels)))
    if not rows_match or len({entry.name for entry in index}) != len(index):
        raise InputError(
            f"{folder / STORE_PIXELS} has {len(pixels)} rows, which are not those that {STORE_INDEX} lists: "
            f"{remedy}."
        )
    return pixels, index


def open_pixels(path: Path, remedy: str) -> np.memmap:
    """Map the array of a packed store.

    Args:
        path: a file that ``numpy.save`` could have written.
        remedy: what to do if it is damaged; the end of the message.

    Returns:
        (N, S, S) uint8.

    Raises:
        InputError: the file is missing, cut short, or holds something else.
    """
    try:
        pixels = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {remedy}.") from None
    except PermissionError as error:  # nothing is damaged
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    except Exception as error:  # damaged headers make numpy's parser raise many kinds of errors
        raise InputError(f"{path} is damaged ({error}): {remedy}.") from None
    shape_is_right = pixels.ndim == 3 and pixels.shape[1] == pixels.shape[2]
    if not shape_is_right or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        raise InputError(
            f"{path} is not a store of radiographs but an array {pixels.shape} of {pixels.dtype}: {remedy}."
        )
    return pixels


def read_index(path: Path, remedy: str) -> list[StoreEntry]:
    """Read the index of a packed store.

    Args:
        path: the file.
        remedy: as in `open_pixels`.

    Raises:
        InputError: it is missing, damaged or of another layout.
    """
    try:
        return parse_index(path.read_bytes(), path, remedy)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): {remedy}.") from None


def parse_index(content: bytes, path: Path, remedy: str) -> list[StoreEntry]:
    """Turn the content of an index into entries.

    Args:
        content: the layout, the names of the columns, then one line for each row of the store.
        path: the file, for messages.
        remedy: as in `open_pixels`.

    Raises:
        InputError: it is damaged or of another layout.
    """
    try:
        lines = content.decode().splitlines()
        layout = lines[0] if lines else ""
        if layout not in (STORE_LAYOUT, _LAYOUT_1):
            raise InputError(f"{path} belongs to a store of another layout ({layout[:60]!r}): {remedy}.")
        added = [_UNKNOWN] if layout == _LAYOUT_1 else []
        return [_parse_entry([*columns, *added]) for columns in csv.reader(lines[2:])]
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} is damaged ({error}): {remedy}.") from None


def _parse_entry(columns: Sequence[str]) -> StoreEntry:
    types = [field.type for field in fields(StoreEntry)]
    entry = StoreEntry(*(kind(value) for kind, value in zip(types, columns, strict=True)))
    if entry.row < 0 or entry.state not in _STATES:
        raise ValueError(f"row {entry.row}, state {entry.state!r}")
    return entry
